// The text form of a model; its grammar is in model.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <sstream>

#include "divs/core/config.hpp"
#include "divs/core/error.hpp"
#include "divs/nn/builder.hpp"
#include "op_fields.hpp"

namespace divs::nn {
namespace {

constexpr int largest_field = 1 << 20;

struct Place {
    std::string_view origin;
    int line;
    template <class... Args>
    [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
        throw_error<ConfigError>("{}:{}: {}", origin, line, fmt::format(format, std::forward<Args>(args)...));
    }
};

std::string hint(std::string_view word, const std::vector<std::string>& known) {
    const std::string near = nearest(word, known);
    return near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
}

// Words that stand for an operation with a field set already.
const std::map<std::string, Op, std::less<>>& short_words() {
    static const std::map<std::string, Op, std::less<>> words{{"relu", Activate{Activation::relu}},
                                                              {"relu6", Activate{Activation::relu6}},
                                                              {"maxpool", Pool{PoolKind::max}},
                                                              {"avgpool", Pool{PoolKind::average}}};
    return words;
}

std::vector<std::string> known_operations() {
    std::vector<std::string> known;
    for (const auto& word : op_words())
        if (word != "activate" && word != "pool") known.push_back(word);
    for (const auto& entry : short_words()) known.push_back(entry.first);
    return known;
}

// One line, cut into its parts.
struct Line {
    std::string name, word;
    std::map<std::string, std::string, std::less<>> values;  // a flag has the value "true"
    std::vector<std::string> from;
};

// "name=conv" and "name = conv" read alike: an '=' behind the first word makes that word the line's name.
std::vector<std::string> cut_words(std::string row) {
    row.erase(std::min(row.find('#'), row.size()));
    const auto start = row.find_first_not_of(" \t\r"), equals = row.find('=');
    if (start == std::string::npos) return {};
    if (equals != std::string::npos) {
        const auto end = row.find_last_not_of(" \t", equals - (equals > 0 ? 1 : 0));
        const bool one_word = end != std::string::npos && row.find_first_of(" \t", start) > end;
        if (one_word) row.replace(equals, 1, " = ");
    }
    std::istringstream in(row);
    return {std::istream_iterator<std::string>(in), {}};
}

void add_word(Line& line, const std::string& word, const Place& place) {
    const auto equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "true" : word.substr(equals + 1);
    if (key.empty() || value.empty()) place.fail("'{}': expected key=value without blanks", word);
    if (key == "from") {
        std::istringstream names(value);
        for (std::string name; std::getline(names, name, ',');) line.from.push_back(name);
    } else if (!line.values.emplace(key, value).second) {
        place.fail("'{}' is given twice", key);
    }
}

Line read_line(const std::vector<std::string>& words, const Place& place) {
    Line line;
    std::size_t next = 0;
    if (words.size() > 1 && words[1] == "=") {
        line.name = words[0];
        next = 2;
    }
    if (next >= words.size()) place.fail("an operation is missing after '='");
    line.word = words[next++];
    if (line.name.empty()) line.name = fmt::format("{}{}", line.word, place.line);
    if (line.name.find_first_of("/,") != std::string::npos)  // arrays are kept in HDF5 by it, from= lists it
        place.fail("the name '{}' holds '/' or ','", line.name);
    for (; next < words.size(); ++next) add_word(line, words[next], place);
    return line;
}

// Sets the fields of an operation from the words of a line.
class FieldReader {
  public:
    FieldReader(const Line& line, const ModelSize& size, const Place& place)
        : line_(line), size_(size), place_(place) {}

    void operator()(const char* name, int& value) {
        if (const std::string* text = take(name))
            value =
                *text == "classes" && std::string_view(name) == "out" ? size_.classes : number(name, *text);
    }
    void operator()(const char* name, int& h, int& w) {
        const std::string* text = take(name);
        if (!text) return;
        const auto cross = text->find('x');
        h = number(name, text->substr(0, cross));
        w = cross == std::string::npos ? h : number(name, text->substr(cross + 1));
    }
    void operator()(const char* name, bool& value) {
        const std::string* text = take(name);
        if (!text) return;
        if (*text != "true" && *text != "false") place_.fail("{}={}: expected true or false", name, *text);
        value = *text == "true";
    }
    void operator()(const char* name, float& value) {
        const std::string* text = take(name);
        if (!text) return;
        const char* end = text->data() + text->size();
        if (const auto [rest, error] = std::from_chars(text->data(), end, value);
            error != std::errc{} || rest != end)
            place_.fail("{}={}: expected a number", name, *text);
    }
    void operator()(const char*, Activation& value) {
        for (const char* word : {"relu", "relu6"})
            if (take(word)) read_activation(word, value);
    }
    void operator()(const char*, PoolKind&) {}  // said by the operation's word

    void finish() const {  // every word of the line must have been asked for
        for (const auto& entry : line_.values)
            if (std::find(known_.begin(), known_.end(), entry.first) == known_.end())
                place_.fail("unknown word '{}' for {}{}", entry.first, line_.word, hint(entry.first, known_));
    }

  private:
    const std::string* take(const std::string& name) {
        known_.push_back(name);
        const auto found = line_.values.find(name);
        return found == line_.values.end() ? nullptr : &found->second;
    }
    int number(const char* name, const std::string& text) const {
        int value = 0;
        const char* end = text.data() + text.size();
        const auto [rest, error] = std::from_chars(text.data(), end, value);
        if (error != std::errc{} || rest != end || value < 0 || value > largest_field)
            place_.fail("{}={}: expected a whole number from 0 to {}", name, text, largest_field);
        return value;
    }

    const Line& line_;
    const ModelSize& size_;
    const Place& place_;
    std::vector<std::string> known_;
};

Op operation_of(const Line& line, const Place& place) {
    if (const auto found = short_words().find(line.word); found != short_words().end()) return found->second;
    const auto known = known_operations();
    if (std::find(known.begin(), known.end(), line.word) == known.end())
        place.fail("unknown operation '{}'{}", line.word, hint(line.word, known));
    return op_of_word(line.word);
}

// What a line leaves unsaid: the stride of a pool is its kernel, a norm with two inputs adds the second.
void complete(Op& op, const Line& line, const ModelSize& size) {
    if (auto* pool = std::get_if<Pool>(&op); pool && !line.values.contains("stride")) {
        pool->stride_h = pool->kernel_h;
        pool->stride_w = pool->kernel_w;
    }
    if (auto* norm = std::get_if<BatchNorm>(&op); norm && line.from.size() == 2) norm->residual = true;
    if (auto* shift = std::get_if<TemporalShift>(&op)) shift->frames = size.frames;
    if (auto* mean = std::get_if<FrameMean>(&op)) mean->frames = size.frames;
    if (auto* lstm = std::get_if<Lstm>(&op)) lstm->frames = size.frames;
}

Op read_op(const Line& line, const ModelSize& size, const Place& place) {
    Op op = operation_of(line, place);
    FieldReader reader(line, size, place);
    std::visit([&](auto& fields) { visit_fields(fields, reader); }, op);
    reader.finish();
    complete(op, line, size);
    return op;
}

std::vector<int> read_inputs(const Line& line, const std::map<std::string, int, std::less<>>& numbers,
                             int last, const Place& place) {
    if (line.from.empty()) return {last};
    std::vector<int> inputs;
    for (const std::string& name : line.from) {
        const auto found = numbers.find(name);
        if (found == numbers.end()) {
            std::vector<std::string> known;
            for (const auto& entry : numbers) known.push_back(entry.first);
            place.fail("from={}: no line above has that name{}", name, hint(name, known));
        }
        inputs.push_back(found->second);
    }
    return inputs;
}

// The word of an operation, and of its fields those that parse_model would not fill in by itself.
std::string op_text(const Op& op) {
    std::string text(op_word(op));
    if (const auto* activate = std::get_if<Activate>(&op))
        return std::string(activation_word(activate->activation));
    if (const auto* pool = std::get_if<Pool>(&op)) text = pool->kind == PoolKind::max ? "maxpool" : "avgpool";
    const auto fields = field_texts(op), defaults = field_texts(op_of_word(op_word(op)));
    for (std::size_t i = 0; i < fields.size(); ++i) {
        const auto& [name, value] = fields[i];
        const bool from_size = name == "frames" || name == "layer" || name == "kind" || name == "residual";
        const bool always = std::holds_alternative<Pool>(op) && (name == "kernel" || name == "stride");
        if (from_size || (fields[i] == defaults[i] && !always)) continue;
        if (name == "activation") {
            text += " " + value;
        } else {
            text += fmt::format(" {}={}", name, value);
        }
    }
    return text;
}

}  // namespace

std::string to_text(const ModelSpec& spec) {
    require_description(spec);
    std::string text;
    for (std::size_t i = 0; i < spec.nodes.size(); ++i) {
        const Node& node = spec.nodes[i];
        text += fmt::format("{} = {}", node.name, op_text(node.op));
        if (node.inputs != std::vector<int>{static_cast<int>(i) - 1}) {
            std::vector<std::string> names;
            for (const int input : node.inputs)
                names.push_back(input == model_input ? "input"
                                                     : spec.nodes[static_cast<std::size_t>(input)].name);
            text += fmt::format(" from={}", fmt::join(names, ","));
        }
        text += '\n';
    }
    return text;
}

ModelSpec parse_model(std::string_view text, const ModelSize& size, std::string_view origin) {
    SpecBuilder builder("custom", size);
    std::map<std::string, int, std::less<>> numbers{{"input", model_input}};
    std::istringstream in{std::string(text)};
    Place place{origin, 0};
    for (std::string row; std::getline(in, row);) {
        ++place.line;
        const std::vector<std::string> words = cut_words(row);
        if (words.empty()) continue;
        const Line line = read_line(words, place);
        const Op op = read_op(line, size, place);
        const std::vector<int> inputs = read_inputs(line, numbers, builder.last(), place);
        if (!numbers.emplace(line.name, builder.last() + 1).second)
            place.fail("the name '{}' is used twice", line.name);
        try {
            builder.add(line.name, op, inputs);
        } catch (const ConfigError& e) {
            place.fail("{}", e.what());
        }
    }
    try {
        return builder.build();
    } catch (const ConfigError& e) {
        throw_error<ConfigError>("{}: {}", origin, e.what());
    }
}

}  // namespace divs::nn
