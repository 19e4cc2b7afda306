"""A Perceiver AR, as perceiver-io builds it; `workloads.rs` declares the same."""

import torch
from perceiver.model.core import CausalSequenceModel, CausalSequenceModelConfig

LATENTS = 512
# Those that a prompt begins with, where tokens are generated.
FIRST_LATENTS = 256


class Causal(CausalSequenceModel):
    def __init__(self, config, tokens):
        super().__init__(config)
        # So many tokens are generated; otherwise a pass gives logits.
        self.tokens = tokens

    def forward(self, x):
        if not self.tokens:
            return super().forward(x, prefix_len=x.shape[1] - LATENTS).logits
        prefix, cache, tokens = x.shape[1] - FIRST_LATENTS, [], []
        while len(tokens) < self.tokens:
            out = super().forward(x, prefix_len=prefix, kv_cache=cache)
            x, cache = out.logits[:, -1].argmax(1, keepdim=True), out.kv_cache
            tokens.append(x)
        return torch.cat(tokens, 1).to(out.logits.dtype)


# The byte-level model of its README.
MODELS = {"Bytes": dict(vocab_size=262, max_seq_len=4096, max_latents=LATENTS, num_channels=512)}


def build(name, tokens):
    return Causal(CausalSequenceModelConfig(**MODELS[name]), tokens)
