// The JSON form of a model, as exports and checkpoints carry it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "divs/core/error.hpp"
#include "divs/nn/model.hpp"
#include "op_fields.hpp"

namespace divs::nn {
namespace {

using nlohmann::json;

constexpr int format_version = 1;
constexpr int largest_field = 1 << 20;

double decimal(float value) {
    return std::stod(float_text(value));
}  // 0.1F as 0.1, not as 0.10000000149

struct FieldWriter {
    json& node;
    void operator()(const char* name, int a) { node[name] = a; }
    void operator()(const char* name, int a, int b) { node[name] = {a, b}; }
    void operator()(const char* name, bool a) { node[name] = a; }
    void operator()(const char* name, float a) { node[name] = decimal(a); }
    void operator()(const char* name, Activation a) { node[name] = std::string(activation_word(a)); }
    void operator()(const char* name, PoolKind a) { node[name] = a == PoolKind::max ? "max" : "average"; }
};

[[noreturn]] void wrong(const std::string& what, const json& value, std::string_view expected) {
    throw_error<InputError>("model description: {} is {}, expected {}", what, value.dump().substr(0, 40),
                            expected);
}

int read_int(const json& value, const std::string& what) {
    const bool whole = value.is_number_integer();
    if (!whole || value.get<double>() < 0 || value.get<double>() > largest_field)
        wrong(what, value, "a whole number from 0 to 1048576");
    return value.get<int>();
}

float read_float(const json& value, const std::string& what) {
    if (!value.is_number() || !(std::abs(value.get<double>()) < 1e30)) wrong(what, value, "a number");
    return static_cast<float>(value.get<double>());
}

std::string read_string(const json& value, const std::string& what) {
    if (!value.is_string()) wrong(what, value, "a string");
    return value.get<std::string>();
}

const json& member(const json& object, const char* name, const std::string& of) {
    const auto found = object.find(name);
    if (found == object.end()) throw_error<InputError>("model description: {} has no \"{}\"", of, name);
    return *found;
}

struct FieldReader {
    const json& node;
    std::string of;
    const json& at(const char* name) const { return member(node, name, of); }
    std::string path(const char* name) const { return of + "." + name; }

    void operator()(const char* name, int& a) const { a = read_int(at(name), path(name)); }
    void operator()(const char* name, int& a, int& b) const {
        const json& pair = at(name);
        if (!pair.is_array() || pair.size() != 2) wrong(path(name), pair, "[height, width]");
        a = read_int(pair[0], path(name));
        b = read_int(pair[1], path(name));
    }
    void operator()(const char* name, bool& a) const {
        if (!at(name).is_boolean()) wrong(path(name), at(name), "true or false");
        a = at(name).get<bool>();
    }
    void operator()(const char* name, float& a) const { a = read_float(at(name), path(name)); }
    void operator()(const char* name, Activation& a) const {
        if (!read_activation(read_string(at(name), path(name)), a))
            wrong(path(name), at(name), "none, relu or relu6");
    }
    void operator()(const char* name, PoolKind& a) const {
        const std::string word = read_string(at(name), path(name));
        if (word != "max" && word != "average") wrong(path(name), at(name), "max or average");
        a = word == "max" ? PoolKind::max : PoolKind::average;
    }
};

std::string input_name(const ModelSpec& spec, int input) {
    return input == model_input ? "input" : spec.nodes[static_cast<std::size_t>(input)].name;
}

Node read_node(const json& value, std::size_t number, const std::map<std::string, int>& numbers) {
    std::string of = fmt::format("node {}", number);
    if (!value.is_object()) wrong(of, value, "an object");
    Node node;
    node.name = read_string(member(value, "name", of), of + ".name");
    of = "'" + node.name + "'";
    const std::string word = read_string(member(value, "op", of), of + ".op");
    const auto& known = op_words();
    if (std::find(known.begin(), known.end(), word) == known.end())
        throw_error<InputError>("model description: {}: unknown operation \"{}\"; this version knows {}", of,
                                word, fmt::join(known, ", "));
    node.op = op_of_word(word);
    std::visit([&](auto& op) { visit_fields(op, FieldReader{value, of}); }, node.op);
    if (std::holds_alternative<Conv2d>(node.op))
        for (const char* folded : {"residual", "activation"})
            if (value.contains(folded))
                wrong(of + "." + folded, value[folded], "nothing: a norm or an operation of its own has it");
    const json& inputs = member(value, "inputs", of);
    if (!inputs.is_array()) wrong(of + ".inputs", inputs, "a list of names");
    for (const json& input : inputs) {
        const auto found = numbers.find(read_string(input, of + ".inputs"));
        if (found == numbers.end())
            wrong(of + ".inputs", input, "the name of a node before it, or \"input\"");
        node.inputs.push_back(found->second);
    }
    return node;
}

std::array<float, 3> read_three(const json& object, const char* name) {
    const json& value = member(object, name, "the model");
    if (!value.is_array() || value.size() != 3) wrong(name, value, "three numbers");
    return {read_float(value[0], name), read_float(value[1], name), read_float(value[2], name)};
}

json parse_object(std::string_view text) {
    try {
        json object = json::parse(text);
        if (!object.is_object()) wrong("the text", object, "an object");
        return object;
    } catch (const json::parse_error& e) {
        throw_error<InputError>("model description: not JSON: {}", e.what());
    }
}

ModelSpec read_spec(const json& object) {
    const std::string of = "the model";
    auto whole = [&](const char* name) { return read_int(member(object, name, of), name); };
    if (const int format = whole("format"); format > format_version)
        throw_error<InputError>("model description: format {}, expected at most {}: made by a newer version",
                                format, format_version);
    ModelSpec spec;
    spec.architecture = read_string(member(object, "architecture", of), "architecture");
    spec.frames = whole("frames");
    spec.height = whole("height");
    spec.width = whole("width");
    spec.channels = whole("channels");
    spec.classes = whole("classes");
    spec.mean = read_three(object, "mean");
    spec.deviation = read_three(object, "deviation");
    const json& nodes = member(object, "nodes", of);
    if (!nodes.is_array()) wrong("nodes", nodes, "a list");
    std::map<std::string, int> numbers{{"input", model_input}};
    for (const json& node : nodes) {
        spec.nodes.push_back(read_node(node, spec.nodes.size(), numbers));
        numbers.emplace(spec.nodes.back().name, static_cast<int>(spec.nodes.size()) - 1);
    }
    return spec;
}

}  // namespace

std::string to_json(const ModelSpec& spec) {
    require_description(spec);
    json object{{"format", format_version}, {"architecture", spec.architecture},
                {"frames", spec.frames},    {"height", spec.height},
                {"width", spec.width},      {"channels", spec.channels},
                {"classes", spec.classes},  {"nodes", json::array()}};
    for (const float m : spec.mean) object["mean"].push_back(decimal(m));
    for (const float d : spec.deviation) object["deviation"].push_back(decimal(d));
    for (const Node& node : spec.nodes) {
        json out{{"name", node.name}, {"op", std::string(op_word(node.op))}, {"inputs", json::array()}};
        for (const int input : node.inputs) out["inputs"].push_back(input_name(spec, input));
        std::visit([&](const auto& op) { visit_fields(op, FieldWriter{out}); }, node.op);
        object["nodes"].push_back(std::move(out));
    }
    return object.dump();
}

ModelSpec from_json(std::string_view text) {
    ModelSpec spec = read_spec(parse_object(text));
    try {
        validate(spec);
    } catch (const ConfigError& e) {
        throw_error<InputError>("model description: {}", e.what());
    }
    return spec;
}

}  // namespace divs::nn
