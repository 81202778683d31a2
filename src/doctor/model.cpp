// Whether the model can be made as the configuration describes it. The settings are one text for all ranks: rank 0
// tries.
#include "divs/nn/model.hpp"

#include <fmt/format.h>

#include "checks.hpp"
#include "divs/core/error.hpp"
#include "divs/train/job.hpp"
#include "divs/train/weights.hpp"
#include "divs/video/dataset.hpp"
#include "divs/video/decoder_choice.hpp"

namespace divs::doctor {
namespace {

// The one that is asked for; where it is not here, which check_gpus() says, the CPU's.
std::shared_ptr<nn::Backend> backend_for(const Patient& patient, const train::ModelSettings& model) {
    try {
        return nn::make_backend(model.backend, train::backend_options(patient.world, model, true));
    } catch (const Error&) {
        return nn::make_backend("cpu", {1, true});
    }
}

std::string make_model(const Patient& patient, const train::Settings& settings, int classes) {
    nn::Model model(train::describe_model(settings.model, settings.data.catalogue.clip, classes),
                    backend_for(patient, settings.model));
    std::string text = fmt::format("{}: {} parameters, {} classes", model.spec().architecture,
                                   model.parameters().size(), classes);
    if (!settings.model.init.empty()) {
        const auto report = train::init_from(model, train::read_any_weights(settings.model.init),
                                             {true, settings.model.freeze});
        text += fmt::format("; {} arrays from {}", report.loaded, settings.model.init.string());
    } else if (!settings.model.freeze.empty()) {
        model.freeze(settings.model.freeze);
    }
    if (model.backend().host_memory())  // refuses where the GPU is to decode
        video::decode_on_processor(settings.data.decode_on, "the backend keeps clips in the host's memory");
    return text;
}

}  // namespace

void check_model(Patient& patient, Notes& notes) {
    const auto& settings = patient.examination.settings;
    if (!settings || !patient.is_root()) return;
    int classes = 0;
    try {
        classes = static_cast<int>(video::read_dataset(settings->data.dataset).classes.size());
    } catch (const Error&) {
        return;  // check_data() says so
    }
    try {
        notes.ok("model", make_model(patient, *settings, classes));
    } catch (const Error& e) {
        notes.error("model", e.what(), "jobs/reference.toml has every key of [model]; training fails with these words");
    }
}

}  // namespace divs::doctor
