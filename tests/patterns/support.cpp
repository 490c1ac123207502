#include "../sync/support.cpp"  // each room's tests are a program of their own
