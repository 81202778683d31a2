// Libraries stay open to the end of a program that looks for forgotten memory: a plugin of MPI's that were closed
// could not be named any more, and so not be told from ours by test/sanitizers/lsan.supp.
extern "C" int divs_keep_library(void*) { return 0; }
