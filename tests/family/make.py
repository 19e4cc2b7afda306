"""Makes the files of the case `resampler` for tests/family.rs. Those of the other cases come from the models of
Transformers and perceiver-pytorch that their declarations name.

    python3 -m venv venv && venv/bin/pip install torch safetensors perceiver-pytorch==0.11.0
    venv/bin/python tests/family/make.py

The model is Flamingo's resampler in the parts of perceiver-pytorch: its `PerceiverBlock`, whose attention takes the
latents as keys and values, too, here without a bias and with a feed-forward of Flamingo's kind.

resampler.safetensors is the state_dict; resampler.io.safetensors has the input `x`, its mask, the output `out` for it,
`weight`, the gradient `d_x` of `mean(out * weight)`, and `out_after_sgd`, the output after one step of plain SGD with
rate 0.1. All is computed in float64 and stored in float32.
"""

import pathlib

import torch
from perceiver_pytorch.perceiver_pytorch import PerceiverBlock
from safetensors.torch import save_file
from torch import nn

FOLDER = pathlib.Path(__file__).parent
DIM, HEADS, DIM_HEAD = 12, 2, 8


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(DIM, 4 * DIM, bias=False), nn.GELU(), nn.Linear(4 * DIM, DIM, bias=False))

    def forward(self, x):
        return self.net(x)


class Resampler(nn.Module):
    def __init__(self, depth, num_latents):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(num_latents, DIM))
        self.layers = nn.ModuleList()
        for _ in range(depth):
            block = PerceiverBlock(
                dim=DIM, context_dim=DIM, cross_heads=HEADS, cross_dim_head=DIM_HEAD, self_per_cross_attn=0, queries_contribute_kv=True
            )
            block.cross_attn.fn.to_out = nn.Linear(HEADS * DIM_HEAD, DIM, bias=False)
            block.cross_ff.fn = FeedForward()
            self.layers.append(block)
        self.norm = nn.LayerNorm(DIM)

    def forward(self, tokens, mask):
        x = self.latents.expand(len(tokens), -1, -1)
        for block in self.layers:
            x = x + block.cross_attn(x, context=tokens, mask=mask)
            x = x + block.cross_ff(x)
        return self.norm(x)


torch.manual_seed(7)
model = Resampler(depth=2, num_latents=4)
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_((parameter + 0.05 * torch.randn_like(parameter)).float())
model = model.double()
x = torch.randn(2, 9, DIM).double().requires_grad_()
mask = torch.rand(2, 9) < 0.7
state = {name: tensor.float().clone().contiguous() for name, tensor in model.state_dict().items()}
out = model(x, mask)
weight = torch.randn_like(out).float().double()
(out * weight).mean().backward()
with torch.no_grad():
    for parameter in model.parameters():
        parameter -= 0.1 * parameter.grad
    after = model(x, mask)
save_file(state, FOLDER / "resampler.safetensors")
floats = dict(x=x, out=out, weight=weight, d_x=x.grad, out_after_sgd=after)
floats = {name: tensor.detach().float().clone().contiguous() for name, tensor in floats.items()}
save_file({**floats, "mask": mask.to(torch.uint8)}, FOLDER / "resampler.io.safetensors")
print(sum(parameter.numel() for parameter in model.parameters()), "parameters")
