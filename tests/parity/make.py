"""Makes a case for tests/parity.rs with the PyTorch reference.

    python3 -m venv venv && venv/bin/pip install torch safetensors perceiver-pytorch==0.11.0
    venv/bin/python tests/parity/make.py

A case is three files: NAME.json (options, input shape), NAME.safetensors (state_dict) and NAME.io.safetensors:
input, mask if there is one, target, logits, embeddings, the gradients of the mean cross entropy by latents and
input, and the logits after one step of plain SGD with rate 0.1. All is computed in float64 and stored in float32.
Cases that exist are left alone: their weights are random.
"""

import json
import pathlib

import torch
from perceiver_pytorch import Perceiver
from safetensors.torch import save_file

SMALL = dict(num_latents=8, latent_dim=16, cross_heads=1, latent_heads=2, cross_dim_head=8, latent_dim_head=8, num_classes=5)

CASES = {
    "hyper": (dict(SMALL, input_channels=2, input_axis=4, num_freq_bands=2, max_freq=6.0, depth=1), (2, 2, 3, 2, 3), False),
    "inverted": (dict(SMALL, input_channels=3, input_axis=1, num_freq_bands=3, max_freq=10.0, depth=2, cross_heads=2, inverted_cross_attn=True), (2, 19), True),
    "signal": (dict(SMALL, input_channels=1, input_axis=1, num_freq_bands=8, max_freq=300.0, depth=1), (1, 3001), False),
    "volume": (dict(SMALL, input_channels=1, input_axis=3, num_freq_bands=2, max_freq=8.0, depth=5, weight_tie_layers=True), (2, 3, 4, 2), True),
}


def make(name, options, shape, masked):
    folder = pathlib.Path(__file__).parent
    if (folder / f"{name}.json").exists():
        return
    torch.manual_seed(sum(map(ord, name)))
    model = Perceiver(**options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter + 0.05 * torch.randn_like(parameter)).float())
    model = model.double()
    x = torch.randn(*shape, options["input_channels"]).double().requires_grad_()
    target = torch.randint(options["num_classes"], (shape[0],))
    extra = {}
    kwargs = {}
    if masked:
        mask = torch.rand(*shape) < 0.7
        mask.view(shape[0], -1)[:, 0] = True
        extra["mask"] = mask.to(torch.uint8)
        kwargs["mask"] = mask
    state = {k: v.float().clone().contiguous() for k, v in model.state_dict().items()}
    logits = model(x, **kwargs)
    embeddings = model(x, return_embeddings=True, **kwargs)
    torch.nn.functional.cross_entropy(logits, target).backward()
    d_latents, d_input = model.latents.grad.clone(), x.grad.clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
        after = model(x, **kwargs)
    floats = dict(input=x, logits=logits, embeddings=embeddings, d_latents=d_latents, d_input=d_input, logits_after_sgd=after)
    floats = {k: v.detach().float().clone().contiguous() for k, v in floats.items()}
    save_file(state, folder / f"{name}.safetensors")
    save_file({**floats, "target": target, **extra}, folder / f"{name}.io.safetensors")
    parameters = sum(p.numel() for p in model.parameters())
    case = dict(options=options, shape=shape, masked=masked, parameters=parameters)
    (folder / f"{name}.json").write_text(json.dumps(case, indent=1) + "\n")
    print(name, parameters)


for name, case in CASES.items():
    make(name, *case)
