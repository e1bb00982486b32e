// Included before every file of a bundle's addon and of the CUDA back end. g++ 12 links this function as GLIBCXX_3.4.30, which
// systems with glibc 2.34 do not have; the older name is the same function.
#if !defined(__CUDA_ARCH__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__asm__(
    ".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE,"
    "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");
#endif
