"""The published models, as Transformers builds them; `perceiver::presets` declares the same.

Each takes what its `given` makes of the input of this project, and gives one tensor.
"""

import math

import torch
import transformers
from transformers import PerceiverConfig

VISION = dict(
    num_latents=512,
    d_latents=1024,
    num_blocks=8,
    num_self_attends_per_block=6,
    num_cross_attention_heads=1,
    image_size=224,
    num_labels=1000,
)
FLOW = dict(
    num_latents=2048,
    d_latents=512,
    d_model=322,
    num_self_attends_per_block=24,
    num_self_attention_heads=16,
    num_cross_attention_heads=1,
)
VIDEO = dict(
    num_latents=784,
    d_latents=512,
    d_model=704,
    num_self_attends_per_block=8,
    num_cross_attention_heads=1,
    image_size=224,
    num_labels=700,
)


class Single:
    """One input and one output."""

    @staticmethod
    def given(x):
        """Ids as they are, and images with the channels first, once and not in every run."""
        return x.movedim(-1, -3).contiguous() if x.ndim > 2 else x

    def forward(self, x):
        return super().forward(x).logits


class Fourier(Single, transformers.PerceiverForImageClassificationFourier):
    pass


class Learned(Single, transformers.PerceiverForImageClassificationLearned):
    pass


class Conv(Single, transformers.PerceiverForImageClassificationConvProcessing):
    pass


class Language(Single, transformers.PerceiverForMaskedLM):
    pass


class Flow(Single, transformers.PerceiverForOpticalFlow):
    pass


class Video(transformers.PerceiverForMultimodalAutoencoding):
    """Sound, frames and a class in one row, on both sides."""

    # Without points to decode, Transformers raises an error. In parts they take less memory, but each part encodes the
    # input again.
    parts = 1

    def given(self, x):
        config = self.config
        frames = (config.num_frames, config.image_size, config.image_size, 3)
        samples = config.num_frames * config.audio_samples_per_frame
        audio, image, label = x.split([samples, math.prod(frames), config.num_labels], 1)
        image = image.unflatten(1, frames).movedim(-1, -3).contiguous()
        return dict(audio=audio.unsqueeze(2), image=image, label=label)

    def forward(self, x):
        # Points of the sound are patches.
        sounds = torch.arange(x["audio"].shape[1] // self.config.samples_per_patch).chunk(self.parts)
        pixels = torch.arange(math.prod(self.config.output_shape)).chunk(self.parts)
        found = []
        for sound, pixel in zip(sounds, pixels, strict=True):
            points = dict(audio=sound, image=pixel, label=None)
            found.append(super().forward(x, subsampled_output_points=points).logits)
        audio, image = (torch.cat([part[name] for part in found], 1).flatten(1) for name in ("audio", "image"))
        return torch.cat([audio, image, found[0]["label"]], 1)


# By the names that `perceiver::presets` has for them.
MODELS = {
    "VisionFourier": (Fourier, dict(VISION, d_model=261)),
    "VisionLearned": (Learned, dict(VISION, d_model=512)),
    "VisionConv": (Conv, dict(VISION, d_model=322)),
    "Language": (Language, dict(qk_channels=256, v_channels=1280)),
    "Flow": (Flow, FLOW),
    "Video": (Video, VIDEO),
}


def build(name):
    model, options = MODELS[name]
    return model(PerceiverConfig(**options))
