#include "driver.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdlib>

#include "divs/core/error.hpp"
#include "divs/nn/backend.hpp"

namespace divs::doctor {
namespace {

// A library that stays open: unloading a driver is not something drivers expect.
class Library {
  public:
    explicit Library(const char* name) : handle_(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
        if (!handle_) fault_ = dlerror();
    }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    const std::string& fault() const noexcept { return fault_; }
    // The function of that name, or null.
    template <class Function>
    Function* find(const char* name) const {
        return handle_ ? reinterpret_cast<Function*>(dlsym(handle_, name)) : nullptr;
    }

  private:
    void* handle_;
    std::string fault_;
};

// The driver's interface (cuda.h), as far as it is needed. All return 0 for success.
struct Driver {
    using Device = int;
    explicit Driver(const Library& library)
        : init(library.find<int(unsigned)>("cuInit")),
          version(library.find<int(int*)>("cuDriverGetVersion")),
          count(library.find<int(int*)>("cuDeviceGetCount")),
          device(library.find<int(Device*, int)>("cuDeviceGet")),
          name(library.find<int(char*, int, Device)>("cuDeviceGetName")),
          memory(library.find<int(std::size_t*, Device)>("cuDeviceTotalMem_v2")),
          uuid(library.find<int(std::array<unsigned char, 16>*, Device)>("cuDeviceGetUuid")) {}
    bool is_whole() const { return init && version && count && device && name && memory && uuid; }

    int (*init)(unsigned);
    int (*version)(int*);
    int (*count)(int*);
    int (*device)(Device*, int);
    int (*name)(char*, int, Device);
    int (*memory)(std::size_t*, Device);
    int (*uuid)(std::array<unsigned char, 16>*, Device);
};

Gpu describe(const Driver& driver, int number) {
    Gpu gpu;
    Driver::Device device = 0;
    std::array<char, 256> name{};
    std::array<unsigned char, 16> uuid{};
    std::size_t bytes = 0;
    if (driver.device(&device, number) != 0) return gpu;
    if (driver.name(name.data(), static_cast<int>(name.size()) - 1, device) == 0) gpu.name = name.data();
    if (driver.memory(&bytes, device) == 0) gpu.gib = static_cast<double>(bytes) / (1 << 30);
    if (driver.uuid(&uuid, device) == 0)
        for (const unsigned char byte : uuid) gpu.id += fmt::format("{:02x}", byte);
    return gpu;
}

void ask_driver(RankGpus& found) {
    const Library library("libcuda.so.1");
    if (!library) {
        found.absence = library.fault();
        return;
    }
    const Driver driver(library);
    if (!driver.is_whole()) {
        found.absence = "libcuda.so.1 lacks functions that it should have";
        return;
    }
    if (const int code = driver.init(0); code != 0 && code != 100) {  // 100: no device
        found.absence = fmt::format("the driver does not start: cuInit gives {}", code);
        return;
    }
    driver.version(&found.driver);
    int count = 0;
    if (driver.count(&count) != 0) count = 0;
    for (int number = 0; number < count; ++number) found.gpus.push_back(describe(driver, number));
}

std::string cudnn_version() {
    for (const char* name : {"libcudnn.so.9", "libcudnn.so.8"})
        if (const auto get = Library(name).find<std::size_t()>("cudnnGetVersion")) {
            const std::size_t v = get();  // 9: 91900 is 9.19.0; before that 8907 is 8.9.7
            return v >= 10000 ? fmt::format("{}.{}.{}", v / 10000, v / 100 % 100, v % 100)
                              : fmt::format("{}.{}.{}", v / 1000, v / 100 % 10, v % 100);
        }
    return "";
}

std::string nccl_version() {
    int v = 0;  // 22809 is 2.28.9
    if (const auto get = Library("libnccl.so.2").find<int(int*)>("ncclGetVersion"); get && get(&v) == 0)
        return fmt::format("{}.{}.{}", v / 10000, v / 100 % 100, v % 100);
    return "";
}

}  // namespace

RankGpus find_gpus() {
    RankGpus found;
    if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) found.visible = visible;
    ask_driver(found);
    found.cudnn = cudnn_version();
    found.nccl = nccl_version();
    try {
        found.plugin = nn::make_backend("cuda", {})->description();
    } catch (const Error& e) {
        found.plugin_fault = e.what();
    }
    return found;
}

}  // namespace divs::doctor
