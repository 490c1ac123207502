// Every operation of TLS, cancelled at every moment of its life: as in tests/io, with scenes of its own.
#include "../io/cancellation.cpp"
#include "../io/pretended_kernel.cpp"
