"""Makes sounds.txt with the speech synthesizer eSpeak NG: python make.py

Needs the program espeak-ng (1.51, Debian's package), numpy and scipy.
"""

import subprocess
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

RATE, WINDOW, FFT = 8000, 200, 512  # 25 ms
BANDS, FRAMES = 16, 20
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
# An accent and a voice each.
SPEAKERS = [
    "en-us+m1", "en-us+f2", "en-us+m5", "en-gb+m3", "en-gb+f4", "en-gb-scotland+m2",
    "en-gb-scotland+f1", "en-gb-x-rp+m7", "en-gb-x-rp+f3", "en-gb-x-gbclan+m4", "en-029+m6", "en-029+f5",
]
EACH = 12  # recordings of each digit by each speaker, to keep the file small

HEADER = """\
# Log-mel spectrograms of 1,440 recordings of spoken English digits, made by make.py: 12 of each digit by each of 12 voices of
# the speech synthesizer eSpeak NG, at random speeds and pitches, with noise 2 to 12 dB above the speech. One recording on
# each line: 20 frames, stretched over its duration, of 16 bands from 100 to 4,000 Hz, as one character for each value, from 0
# (63 dB or more below the loudest value) to o (ASCII 48 to 111) in steps of 1 dB; then the digit and the voice.
"""


def mel(hertz):
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def filters():
    """Triangles, evenly spaced on the mel scale: a row for each band."""
    edges = np.linspace(mel(100), mel(RATE / 2), BANDS + 2)
    frequencies = mel(np.fft.rfftfreq(FFT, 1 / RATE))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - low) / (middle - low)
    falling = (high - frequencies) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling))


def speak(digit, voice, random):
    """A word at a random speed and pitch, beside noise."""
    speed, pitch = random.integers(110, 220), random.integers(20, 80)
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", DIGITS[digit]]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    # Behind the header of a WAV file, which does not know the length yet.
    sound = np.frombuffer(wav[44:], np.int16).astype(float)
    sound = resample_poly(sound, RATE, 22050)
    loud = np.nonzero(np.abs(sound) > 0.02 * np.abs(sound).max())[0]
    sound = sound[loud[0] : loud[-1] + 1]
    noise = random.standard_normal(len(sound)) * 10 ** (random.uniform(2, 12) / 20)
    return sound / sound.std() + noise


def spectrogram(sound):
    sound = np.pad(sound, WINDOW // 2)
    starts = np.linspace(0, len(sound) - WINDOW, FRAMES * 4).astype(int)
    windows = np.stack([sound[start : start + WINDOW] for start in starts]) * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(windows, FFT)) ** 2 @ filters().T
    # Four windows to a frame, so that no part of a long recording is left out.
    power = power.reshape(FRAMES, 4, BANDS).mean(axis=1)
    decibels = 10 * np.log10(power / power.max() + 1e-10)
    return np.clip(np.rint(decibels + 63), 0, 63).astype(np.uint8)


random = np.random.default_rng(1)
with open(Path(__file__).with_name("sounds.txt"), "w", newline="\n") as file:
    file.write(HEADER)
    for voice in SPEAKERS:
        for digit in range(10):
            for _ in range(EACH):
                levels = spectrogram(speak(digit, voice, random))
                file.write(bytes(levels.ravel() + 48).decode("ascii") + f" {digit} {voice}\n")
