#include "adapters/yaml/document.hpp"

#include <algorithm>

namespace signalbox::yaml {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::uint64_t size_max_bytes = 4 << 20;

int line_of(const YAML::Node& node) { return node.Mark().line + 1; }

std::string describe(const YAML::Node& node) {
    switch (node.Type()) {
        case YAML::NodeType::Sequence:
            return "a list";
        case YAML::NodeType::Map:
            return "a mapping";
        case YAML::NodeType::Scalar:
            return "'" + node.Scalar() + "'";
        default:
            return "nothing";
    }
}

}  // namespace

Reader::Reader(const YAML::Node& node, std::string where, std::shared_ptr<Faults> faults)
    : node_(node), where_(std::move(where)), faults_(std::move(faults)) {
    if (node_.IsMap() || node_.IsNull()) return;
    faults_->add(line_of(node_), fmt::format("{}: expected a mapping of keys to values, found {}",
                                             where_.empty() ? "the file" : where_, describe(node_)));
    node_ = YAML::Node(YAML::NodeType::Map);
}

YAML::Node Reader::get(const std::string& key) {
    asked_.insert(key);
    if (!node_.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
    const YAML::Node& constant = node_;
    return constant[key];
}

bool Reader::has(const std::string& key) const {
    const YAML::Node& constant = node_;
    return node_.IsMap() && constant[key].IsDefined() && !constant[key].IsNull();
}

int Reader::line(const std::string& key) const {
    if (!key.empty() && has(key)) {
        const YAML::Node& constant = node_;
        return line_of(constant[key]);
    }
    return node_.Mark().is_null() ? 1 : line_of(node_);
}

void Reader::fault(const std::string& key, std::string message) {
    const std::string name = where_.empty() || key.empty() ? where_ + key : where_ + "." + key;
    faults_->add(line(key), name.empty() ? std::move(message) : name + ": " + message);
}

std::optional<std::string> Reader::scalar(const std::string& key, std::string_view expected) {
    const YAML::Node value = get(key);
    if (!value.IsDefined() || value.IsNull()) return std::nullopt;
    if (!value.IsScalar()) {
        fault(key, fmt::format("expected {}, found {}", expected, describe(value)));
        return std::nullopt;
    }
    return value.Scalar();
}

std::optional<std::string> Reader::text(const std::string& key) { return scalar(key, "a text"); }

std::optional<std::int64_t> Reader::integer(const std::string& key, std::int64_t min, std::int64_t max) {
    const auto expected = fmt::format("a whole number from {} to {}", min, max);
    const auto found = scalar(key, expected);
    if (!found) return std::nullopt;
    const auto value = base::parse_int(*found);
    if (value && *value >= min && *value <= max) return value;
    fault(key, fmt::format("expected {}, found '{}'", expected, *found));
    return std::nullopt;
}

std::optional<double> Reader::number(const std::string& key, double min, double max) {
    const auto expected = fmt::format("a number from {} to {}", min, max);
    const auto found = scalar(key, expected);
    if (!found) return std::nullopt;
    const auto value = base::parse_double(*found);
    if (value && *value >= min && *value <= max) return value;
    fault(key, fmt::format("expected {}, found '{}'", expected, *found));
    return std::nullopt;
}

std::optional<bool> Reader::boolean(const std::string& key) {
    const auto found = scalar(key, "true or false");
    if (!found) return std::nullopt;
    if (*found == "true") return true;
    if (*found == "false") return false;
    fault(key, fmt::format("expected true or false, found '{}'", *found));
    return std::nullopt;
}

std::optional<base::Duration> Reader::duration(const std::string& key, base::Duration min, base::Duration max) {
    const auto expected =
        fmt::format("a duration from {} to {}", base::format_duration(min), base::format_duration(max));
    const auto found = scalar(key, expected);
    if (!found) return std::nullopt;
    const auto value = base::parse_duration(*found);
    if (value && *value >= min && *value <= max) return *value;
    fault(key, fmt::format("expected {}, found '{}'", expected, *found));
    return std::nullopt;
}

std::optional<base::HostPort> Reader::address(const std::string& key) {
    const auto found = scalar(key, "an address with a port");
    if (!found) return std::nullopt;
    auto value = base::parse_host_port(*found);
    if (value) return std::move(*value);
    fault(key, value.error().message);
    return std::nullopt;
}

std::optional<std::string> Reader::word(const std::string& key, const std::vector<std::string>& words) {
    const auto expected = "one of " + base::join(words, ", ");
    auto found = scalar(key, expected);
    if (!found || std::find(words.begin(), words.end(), *found) != words.end()) return found;
    fault(key, fmt::format("expected {}, found '{}'", expected, *found));
    return std::nullopt;
}

std::vector<std::string> Reader::texts(const std::string& key) {
    std::vector<std::string> values;
    const YAML::Node value = get(key);
    if (!value.IsDefined() || value.IsNull()) return values;
    if (!value.IsSequence()) {
        fault(key, fmt::format("expected a list, found {}", describe(value)));
        return values;
    }
    for (const YAML::Node& element : value) {
        if (element.IsScalar()) {
            values.push_back(element.Scalar());
        } else {
            faults_->add(line_of(element), fmt::format("{}{}{}: expected a list of texts, found {} in it", where_,
                                                       where_.empty() ? "" : ".", key, describe(element)));
        }
    }
    return values;
}

std::vector<std::pair<std::string, std::string>> Reader::pairs(const std::string& key) {
    std::vector<std::pair<std::string, std::string>> values;
    const YAML::Node value = get(key);
    if (!value.IsDefined() || value.IsNull()) return values;
    if (!value.IsMap()) {
        fault(key, fmt::format("expected a mapping, found {}", describe(value)));
        return values;
    }
    for (const auto& element : value) {
        if (element.first.IsScalar() && element.second.IsScalar()) {
            values.emplace_back(element.first.Scalar(), element.second.Scalar());
        } else {
            fault(key, "expected texts as keys and values");
        }
    }
    return values;
}

std::optional<Reader> Reader::mapping(const std::string& key) {
    const YAML::Node value = get(key);
    if (!value.IsDefined() || value.IsNull()) return std::nullopt;
    return Reader(value, where_.empty() ? key : where_ + "." + key, faults_);
}

std::vector<Reader> Reader::list(const std::string& key) {
    std::vector<Reader> readers;
    const YAML::Node value = get(key);
    if (!value.IsDefined() || value.IsNull()) return readers;
    if (!value.IsSequence()) {
        fault(key, fmt::format("expected a list, found {}", describe(value)));
        return readers;
    }
    std::size_t index = 0;
    for (const YAML::Node& element : value) {
        readers.emplace_back(element, fmt::format("{}{}{}[{}]", where_, where_.empty() ? "" : ".", key, index++),
                             faults_);
    }
    return readers;
}

std::string Reader::need_text(const std::string& key) {
    if (!has(key)) {
        asked_.insert(key);
        faults_->add(line(), fmt::format("{}: '{}' is missing", where_.empty() ? "the file" : where_, key));
        return {};
    }
    return text(key).value_or("");
}

std::string Reader::need_name(const std::string& key) {
    std::string name = need_text(key);
    if (!name.empty() && !base::is_name(name)) {
        fault(key, fmt::format(
                       "'{}' is not a name: expected 1 to 63 letters, digits, '.', '_' or '-', first a letter or digit",
                       name));
    }
    return name;
}

base::HostPort Reader::need_address(const std::string& key) {
    if (!has(key)) {
        need_text(key);
        return {};
    }
    return address(key).value_or(base::HostPort{});
}

void Reader::finish() {
    if (!node_.IsMap()) return;
    const std::vector<std::string> known(asked_.begin(), asked_.end());
    std::set<std::string> seen;
    for (const auto& element : node_) {
        if (!element.first.IsScalar()) {
            faults_->add(line_of(element.first), "expected a text as key");
            continue;
        }
        const std::string& key = element.first.Scalar();
        if (!seen.insert(key).second)
            faults_->add(line_of(element.first), fmt::format("the key '{}' stands twice", key));
        if (asked_.contains(key)) continue;
        const auto near = base::nearest(key, known);
        faults_->add(line_of(element.first),
                     fmt::format("unknown key '{}'{}; {}: {}", key, where_.empty() ? "" : " in " + where_,
                                 near ? "did you mean" : "expected one of", near ? *near : base::join(known, ", ")));
    }
}

void UniqueNames::add(Reader& reader, const std::string& key, const std::string& name) {
    const int line = reader.line(key);
    for (const auto& [other, other_line] : seen_) {
        if (other == name && !name.empty()) {
            reader.fault(
                key, fmt::format("the {} '{}' stands already in line {}; names must differ", what_, name, other_line));
            return;
        }
    }
    seen_.emplace_back(name, line);
}

base::Result<Document> Document::load(const std::string& path) {
    auto text = base::read_file(path, size_max_bytes);
    if (!text) {
        // To whoever runs a command, a configuration that can't be read is a wrong configuration, whatever the reason.
        text.error().kind = ErrorKind::InvalidConfig;
        return tl::unexpected<base::Error>(std::move(text).error());
    }
    return parse(*text, path);
}

base::Result<Document> Document::parse(const std::string& text, const std::string& file) {
    auto faults = std::make_shared<Faults>();
    faults->file = file;
    try {
        return Document(YAML::Load(text), std::move(faults));
    } catch (const YAML::Exception& error) {
        return fail(ErrorKind::InvalidConfig, "{}:{}: not YAML: {}", file, error.mark.line + 1, error.msg);
    }
}

Reader Document::root() { return Reader(node_, "", faults_); }

base::Status Document::status() const {
    if (faults_->lines.empty()) return {};
    auto lines = faults_->lines;
    std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::string> texts;
    texts.reserve(lines.size());
    for (const auto& [line, message] : lines) texts.push_back(fmt::format("{}:{}: {}", faults_->file, line, message));
    return fail(ErrorKind::InvalidConfig, "{}", base::join(texts, "\n"));
}

}  // namespace signalbox::yaml
