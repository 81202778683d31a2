// Single vehicles cut out of a recording: each track once, at its largest.
#pragma once

#include <map>
#include <vector>

#include "divs/synth/recording.hpp"

namespace divs::synth {

struct Crop {
    std::uint32_t track = 0;
    VehicleClass kind = VehicleClass::car;
    float area = 0;
    Picture picture;
};

class CropCollector {
  public:
    explicit CropCollector(int size) : size_(size) {}
    void look(const Picture& picture, const FrameTruth& truth);
    std::vector<Crop> take();  // by track

  private:
    int size_;
    std::map<std::uint32_t, Crop> best_;
};

}  // namespace divs::synth
