"""An AAC-LC encoder (ISO/IEC 14496-3) for stereo at 44100 Hz, and its resampler, of plain functions over arrays.

They are Python that a compiler takes as it stands: `relay.push.transcode.compiler` makes machine code of them, so of
all this a running relay imports `memory` alone. They work uncompiled too, some hundred times slower.

    memory      what encoder and resampler keep, and where
    inlined     a mark for what machine code has no call of
    tables      bands, codebooks, windows
    bits        the writing of bits
    fft         Fourier transforms
    transform   windows and MDCT: 1024 samples become 1024 lines
    attack      which windows: eight short ones where the sound sets in, so that no noise precedes it
    quantizer   how wide the steps are in each band, and the integers they give
    huffman     what those cost in bits, by codebook, and the writing of them
    scratch     what all that works with for one frame
    fit         the choice of the steps that the bit rate affords
    block       the writing of the raw data block
    frame       one block after the other: all of the above
    resample    48 to 44.1 kHz
"""
