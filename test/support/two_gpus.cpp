// Stands for libcuda.so.1 on a host with two GPUs, as far as the doctor asks.
#include <array>
#include <cstddef>
#include <cstdio>

extern "C" {

int cuInit(unsigned) {
    return 0;
}
int cuDriverGetVersion(int* version) {
    *version = 13000;
    return 0;
}
int cuDeviceGetCount(int* count) {
    *count = 2;
    return 0;
}
int cuDeviceGet(int* device, int number) {
    *device = number;
    return 0;
}
int cuDeviceGetName(char* name, int length, int) {
    std::snprintf(name, static_cast<std::size_t>(length), "Example GPU");
    return 0;
}
int cuDeviceTotalMem_v2(std::size_t* bytes, int) {
    *bytes = std::size_t{80} << 30;
    return 0;
}
int cuDeviceGetUuid(std::array<unsigned char, 16>* uuid, int device) {
    uuid->fill(static_cast<unsigned char>(device + 1));
    return 0;
}
}
