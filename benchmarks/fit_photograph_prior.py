"""The few numbers of the natural style's prior, fitted to a folder of photographs.

python benchmarks/fit_photograph_prior.py FOLDER

Prints the covariance of red, green and blue within a photograph, and the exponent with which amplitudes of the
spectrum fall with frequency; ``minicnn/explain/natural/prior.py`` holds both.  FOLDER is read with the folders
inside it; of each photograph the centre is taken, 224 of 256 pixels.  Nothing else of the photographs is kept.
"""

from __future__ import annotations

import argparse

import numpy as np

from minicnn import Preprocess
from minicnn.images.folder import list_images

SIZE = 224
LOWEST, HIGHEST = 2, 60  # cycles in a picture; below the window is seen, above the resizing


def read(path: str) -> np.ndarray:
    """Return a photograph's centre (3, H, W), values 0 to 1, about its own mean."""
    x = Preprocess((SIZE, SIZE), resize=256, interpolation="bicubic")(path)[0].astype(np.float64)
    return np.asarray(x - x.mean((1, 2), keepdims=True))


def main() -> None:
    """Fit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    paths = list_images(parser.parse_args().folder)
    # a Hann window, so that the edges of the picture, which do not meet, make no cross in the spectrum
    window = np.hanning(SIZE)[:, None] * np.hanning(SIZE)
    covariance, power = np.zeros((3, 3)), np.zeros((SIZE, SIZE // 2 + 1))
    for path in paths:
        x = read(str(path))
        covariance += np.cov(x.reshape(3, -1)) / len(paths)
        power += (np.abs(np.fft.rfft2(x * window)) ** 2).mean(0) / len(paths)
    cycles = SIZE * np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE))
    fitted = (cycles >= LOWEST) & (cycles <= HIGHEST)
    slope = np.polyfit(np.log(cycles[fitted]), np.log(power[fitted]), 1)[0]
    print(f"{len(paths)} photographs\nCOLOUR_COVARIANCE = {covariance.round(4).tolist()}")
    print(f"EXPONENT = {-slope / 2:.2f}")


if __name__ == "__main__":
    main()
