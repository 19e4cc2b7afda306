"""Makes the files of the cases `resampler` and `hf_conv` for tests/family/main.rs. Those of the other cases come from the
models of Transformers and perceiver-pytorch that their declarations name.

    python3 -m venv venv && venv/bin/pip install torch safetensors perceiver-pytorch==0.11.0 transformers==4.57.1
    venv/bin/python tests/family/make.py

`hf_conv` is Transformers' image classifier after a convolution. Beside what the others have, its io file has
`out_training`, the output in training, in which the batch norm has the statistics of the batch, and `running_mean` and
`running_var` after that.

The model of `resampler` is Flamingo's resampler in the parts of perceiver-pytorch: its `PerceiverBlock`, whose attention takes the
latents as keys and values, too, here without a bias and with a feed-forward of Flamingo's kind.

resampler.safetensors is the state_dict; resampler.io.safetensors has the input `x`, its mask, the output `out` for it,
`weight`, the gradient `d_x` of `mean(out * weight)`, and `out_after_sgd`, the output after one step of plain SGD with
rate 0.1. All is computed in float64 and stored in float32.
"""

import copy
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


def conv():
    from transformers import PerceiverConfig, PerceiverModel
    from transformers.models.perceiver import modeling_perceiver as hf

    torch.manual_seed(11)
    config = PerceiverConfig(
        num_latents=6, d_latents=16, d_model=2 * (2 * 4 + 1) + 8, num_blocks=1, num_self_attends_per_block=2,
        num_self_attention_heads=2, num_cross_attention_heads=1, attention_probs_dropout_prob=0.0, num_labels=5,
    )
    positions = dict(concat_pos=True, max_resolution=(7, 6), num_bands=4, sine_only=False)
    preprocessor = hf.PerceiverImagePreprocessor(
        config, prep_type="conv", spatial_downsample=1, out_channels=8, position_encoding_type="fourier",
        fourier_position_encoding_kwargs=positions,
    )
    trainable = dict(num_channels=16, index_dims=1)
    decoder = hf.PerceiverClassificationDecoder(
        config, num_channels=16, trainable_position_encoding_kwargs=trainable, use_query_residual=True
    )

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.perceiver = PerceiverModel(config, input_preprocessor=preprocessor, decoder=decoder)

        def forward(self, x):
            return self.perceiver(inputs=x.permute(0, 3, 1, 2)).logits

    model = Model()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_((tensor + 0.1 * torch.randn_like(tensor)).abs().add(0.5).float() if "running_var" in name
                             else (tensor + 0.1 * torch.randn_like(tensor)).float())
    model = model.double().eval()
    x = torch.randn(2, 13, 11, 3).float().double().requires_grad_()
    state = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    training = copy.deepcopy(model).train()
    out_training = training(x)
    norm = training.perceiver.input_preprocessor.convnet.batchnorm
    floats = dict(out_training=out_training, running_mean=norm.running_mean, running_var=norm.running_var)
    save("hf_conv", model, state, x, lambda: model(x), floats, {})


def save(name, model, state, x, run, floats, others):
    """Runs the model and a step of SGD, and writes both files."""
    out = run()
    weight = torch.randn_like(out).float().double()
    (out * weight).mean().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
        after = run()
    save_file(state, FOLDER / f"{name}.safetensors")
    floats = dict(floats, x=x, out=out, weight=weight, d_x=x.grad, out_after_sgd=after)
    floats = {name: tensor.detach().float().clone().contiguous() for name, tensor in floats.items()}
    save_file({**floats, **others}, FOLDER / f"{name}.io.safetensors")
    print(name, sum(parameter.numel() for parameter in model.parameters()), "parameters")


conv()
torch.manual_seed(7)
model = Resampler(depth=2, num_latents=4)
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_((parameter + 0.05 * torch.randn_like(parameter)).float())
model = model.double()
x = torch.randn(2, 9, DIM).double().requires_grad_()
mask = torch.rand(2, 9) < 0.7
state = {name: tensor.float().clone().contiguous() for name, tensor in model.state_dict().items()}
save("resampler", model, state, x, lambda: model(x, mask), {}, {"mask": mask.to(torch.uint8)})
