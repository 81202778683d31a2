// Shapes and tensors. Activations are logically (N, H, W, C), float32; a clip model has N = clips x frames, the frames
// of a clip next to each other. How a tensor lies in memory is its backend's affair.
#pragma once

#include <cstddef>
#include <memory>

namespace divs::nn {

struct Shape {
    int n = 0, h = 1, w = 1, c = 1;

    std::size_t size() const noexcept {
        return static_cast<std::size_t>(n) * static_cast<std::size_t>(h) * static_cast<std::size_t>(w) *
               static_cast<std::size_t>(c);
    }
    friend bool operator==(const Shape&, const Shape&) = default;
};

// A backend's memory layout; nobody else looks inside. None means plain NHWC.
struct Layout {
    virtual ~Layout() = default;
};

// Shape and layout: what an operation is planned for, and what it promises to write.
struct TensorDesc {
    Shape shape;
    std::shared_ptr<const Layout> layout;
};

// Memory of a backend (host or device), freed with its last owner. Aligned to 64 bytes.
struct Storage {
    virtual ~Storage() = default;
    virtual float* data() noexcept = 0;  // a device address on a GPU
    virtual std::size_t bytes() const noexcept = 0;
};

// A described view of storage. Tensors may share storage where their lifetimes do not overlap.
struct Tensor {
    TensorDesc desc;
    std::shared_ptr<Storage> storage;
    std::size_t offset = 0;  // bytes into the storage, a multiple of 64

    float* data() const noexcept { return storage->data() + offset / sizeof(float); }
    const Shape& shape() const noexcept { return desc.shape; }
};

}  // namespace divs::nn
