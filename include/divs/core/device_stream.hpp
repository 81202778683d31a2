// What communication asks of the device that holds a rank's gradients: a queue of work of its own, beside the
// one that computes, and marks by which each waits for the other. A backend lends it; communication knows no
// device.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace divs {

// A place in a queue of the device, marked again in every step. Freed with its owner.
struct DeviceMark {
    virtual ~DeviceMark() = default;
};

// Memory of the host that the device reads and writes by itself, without a copy in between.
struct PinnedMemory {
    virtual ~PinnedMemory() = default;
    virtual std::span<float> values() noexcept = 0;
};

// Which device it is, for people and to find ranks that share one.
struct DeviceIdentity {
    std::string name;        // "NVIDIA H200"
    std::string pci_bus_id;  // "0000:1B:00.0": equal for ranks of one host that share the device
};

// Calls queue work and return, unless they say otherwise; any thread may make them, but none sets a mark that
// another looks at. An Error where the device refuses, with the call and the device's words; after the loss
// of a device every call throws.
class DeviceStream {
  public:
    virtual ~DeviceStream() = default;
    virtual const DeviceIdentity& identity() const noexcept = 0;
    // The queue as the device's libraries take it: a cudaStream_t.
    virtual void* handle() const noexcept = 0;
    // Makes the device the calling thread's, where libraries that it calls next ask for that.
    virtual void activate() = 0;

    virtual std::unique_ptr<DeviceMark> make_mark() = 0;
    virtual std::unique_ptr<PinnedMemory> allocate_pinned(std::size_t elements) = 0;

    virtual void mark_compute(DeviceMark& mark) = 0;  // behind what computes so far
    virtual void mark(DeviceMark& mark) = 0;          // behind what communicates so far
    virtual void wait_for(DeviceMark& mark) = 0;      // what communicates next waits for it
    virtual void compute_waits_for(DeviceMark& mark) = 0;

    // Between memory of the device and pinned memory of the host, of equal length.
    virtual void copy_to_host(std::span<float> pinned, std::span<const float> device) = 0;
    virtual void copy_to_device(std::span<float> device, std::span<const float> pinned) = 0;

    // Whether the device has come past the mark.
    virtual bool reached(const DeviceMark& mark) = 0;
    // Between two marks that were reached.
    virtual double seconds_between(const DeviceMark& first, const DeviceMark& second) = 0;
};

}  // namespace divs
