#include "sgemm_rate.hpp"

#include <dlfcn.h>
#include <omp.h>

#include <dnnl.hpp>

#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"

namespace divs::bench {
namespace {

constexpr int size = 2048;  // 3 matrices of 16 MB, 17 GFLOP

}  // namespace

struct SgemmRate::State {
    // OpenBLAS is opened where it is found, so that nothing but this benchmark needs it.
    struct OpenBlas {
        using Product = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k,
                                 float alpha, const float* a, int lda, const float* b, int ldb, float beta,
                                 float* c, int ldc);
        using SetThreads = void (*)(int);
        struct Close {
            void operator()(void* library) const noexcept { dlclose(library); }
        };
        static constexpr int row_major = 101, as_it_is = 111;  // the values of the C interface of BLAS

        OpenBlas() : library(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL)) {
            if (!library) return;
            product = reinterpret_cast<Product>(dlsym(library.get(), "cblas_sgemm"));
            set_threads = reinterpret_cast<SetThreads>(dlsym(library.get(), "openblas_set_num_threads"));
        }
        bool found() const { return product && set_threads; }

        std::unique_ptr<void, Close> library;
        Product product = nullptr;
        SetThreads set_threads = nullptr;
    };

    int threads = 1;
    OpenBlas blas;
    std::vector<float> a, b, c;
    std::vector<std::string> names;
};

SgemmRate::SgemmRate(int threads) : state_(std::make_unique<State>()) {
    constexpr auto elements = static_cast<std::size_t>(size) * size;
    state_->threads = threads;
    state_->a.assign(elements, 0.5F);
    state_->b.assign(elements, 0.25F);
    state_->c.assign(elements, 0.0F);
}

SgemmRate::~SgemmRate() = default;

std::vector<std::function<double()>> SgemmRate::candidates() {
    State& s = *state_;
    s.names = {"oneDNN"};
    std::vector<std::function<double()>> all{[&s] {
        omp_set_num_threads(s.threads);
        Stopwatch watch;
        const auto status = dnnl::sgemm('N', 'N', size, size, size, 1.0F, s.a.data(), size, s.b.data(), size,
                                        0.0F, s.c.data(), size);
        if (status != dnnl::status::success) throw Error("bench conv: oneDNN's sgemm failed");
        return watch.seconds();
    }};
    if (!s.blas.found()) return all;
    s.names.emplace_back("OpenBLAS");
    s.blas.set_threads(s.threads);
    all.emplace_back([&s] {
        Stopwatch watch;
        s.blas.product(s.blas.row_major, s.blas.as_it_is, s.blas.as_it_is, size, size, size, 1.0F, s.a.data(),
                       size, s.b.data(), size, 0.0F, s.c.data(), size);
        return watch.seconds();
    });
    return all;
}

double SgemmRate::best(const std::vector<double>& seconds) {
    double rate = 0;
    for (std::size_t i = 0; i < seconds.size(); ++i) {
        const double r = 2.0 * size * size * size / seconds[i];
        if (r > rate) {
            rate = r;
            name_ = state_->names[i];
        }
    }
    return rate;
}

}  // namespace divs::bench
