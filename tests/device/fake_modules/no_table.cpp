// A library of that name that is something else.
extern "C" int nvfp4cal_something_else(void) { return 1; }
