"""Makes the files of cases for tests/parity.rs with the PyTorch reference.

    python3 -m venv venv && venv/bin/pip install torch safetensors perceiver-pytorch==0.11.0
    venv/bin/python tests/parity/make.py            # the cases that have no files yet
    venv/bin/python tests/parity/make.py NAME ..    # these cases, again

A case is NAME.json, written by hand: the options of `Perceiver`, the shape of the input without its channels, and
whether there is a mask. From it this makes NAME.safetensors (state_dict) and NAME.io.safetensors: input, mask if there
is one, target, logits, embeddings, the gradients of the mean cross entropy by latents and input, and the logits after
one step of plain SGD with rate 0.1. All is computed in float64 and stored in float32. The number of parameters is added
to the JSON, or has to be what it says there.

Weights and inputs are random, with a seed for each name; another release of PyTorch may draw other numbers.
"""

import json
import pathlib
import sys

import torch
from perceiver_pytorch import Perceiver
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent


def make(name):
    description = FOLDER / f"{name}.json"
    case = json.loads(description.read_text())
    options, shape = case["options"], case["shape"]
    torch.manual_seed(sum(map(ord, name)))
    model = Perceiver(**options)
    parameters = sum(p.numel() for p in model.parameters())
    if case.get("parameters", parameters) != parameters:
        sys.exit(f"{description} says {case['parameters']} parameters, the model has {parameters}")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter + 0.05 * torch.randn_like(parameter)).float())
    model = model.double()
    x = torch.randn(*shape, options["input_channels"]).double().requires_grad_()
    target = torch.randint(options["num_classes"], (shape[0],))
    extra = {}
    kwargs = {}
    if case["masked"]:
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
    save_file(state, FOLDER / f"{name}.safetensors")
    save_file({**floats, "target": target, **extra}, FOLDER / f"{name}.io.safetensors")
    if "parameters" not in case:
        case["parameters"] = parameters
        description.write_text(json.dumps(case, indent=1) + "\n")
    print(name, parameters)


def is_made(name):
    return all((FOLDER / f"{name}{end}.safetensors").exists() for end in ("", ".io"))


everything = sorted(path.stem for path in FOLDER.glob("*.json"))
for name in sys.argv[1:] or [name for name in everything if not is_made(name)]:
    make(name)
