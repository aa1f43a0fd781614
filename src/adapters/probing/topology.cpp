#include "adapters/probing/topology.hpp"

#include <cmath>

namespace signalbox::probing {
namespace {

using clusters::ProbeFailure;
using clusters::ProbeFailureKind;
using clusters::TopologyRow;

constexpr std::size_t rows_max = 1024;

std::optional<bool> parse_flag(std::string_view text) {
    for (const char* yes : {"1", "t", "true", "yes", "on"}) {
        if (base::equal_ignoring_case(text, yes)) return true;
    }
    for (const char* no : {"0", "f", "false", "no", "off"}) {
        if (base::equal_ignoring_case(text, no)) return false;
    }
    return std::nullopt;
}

// "+02", "-05:30", "+0530", "Z" or nothing, in minutes.
std::optional<std::int64_t> parse_offset(std::string_view text) {
    if (text.empty() || text == "Z") return 0;
    const bool minus = text.front() == '-';
    if (!minus && text.front() != '+') return std::nullopt;
    std::string digits;
    for (const char c : text.substr(1)) {
        if (c != ':') digits += c;
    }
    if (digits.size() == 2) digits += "00";
    const auto value = base::parse_uint(digits);
    if (digits.size() != 4 || !value) return std::nullopt;
    const auto minutes = static_cast<std::int64_t>(*value / 100 * 60 + *value % 100);
    return minus ? -minutes : minutes;
}

std::optional<base::Duration> parse_lag(std::string_view text) {
    const auto ms = base::parse_double(text);
    // A hundred years and more are no lag.
    if (!ms || !std::isfinite(*ms) || *ms > 3.2e12) return std::nullopt;
    return base::Duration(static_cast<std::int64_t>(std::max(0.0, *ms) * 1e6));
}

ProbeFailure incomplete(std::string text) { return {ProbeFailureKind::Incomplete, 0, std::move(text)}; }

std::variant<TopologyRow, ProbeFailure> read_row(const ResultSet& answer, std::size_t index) {
    TopologyRow row;
    const auto name = answer.cell(index, "name");
    if (!name || name->empty()) return incomplete(fmt::format("topology: row {} has no name", index));
    row.name = *name;
    const auto bad = [&](std::string_view column, const std::string& value) {
        return incomplete(
            fmt::format("topology: '{}' has {} '{}', which has an unknown form", row.name, column, value));
    };
    const auto writer = answer.cell(index, "writer");
    if (!writer) return incomplete(fmt::format("topology: '{}' is neither writer nor not", row.name));
    const auto flag = parse_flag(*writer);
    if (!flag) return bad("writer", *writer);
    row.writer = *flag;
    if (const auto updated = answer.cell(index, "updated")) {
        const auto stamp = parse_stamp(*updated);
        if (!stamp) return bad("updated", *updated);
        row.updated_us = *stamp;
    }
    if (const auto lag = answer.cell(index, "lag_ms")) {
        row.lag = parse_lag(*lag);
        if (!row.lag) return bad("lag_ms", *lag);
    }
    row.address.host = answer.cell(index, "address").value_or("");
    if (const auto port = answer.cell(index, "port")) {
        const auto number = base::parse_uint(*port);
        if (!number || *number > 65535) return bad("port", *port);
        row.address.port = static_cast<std::uint16_t>(*number);
    }
    return row;
}

}  // namespace

std::optional<std::int64_t> parse_stamp(std::string_view text) {
    text = base::trim(text);
    if (text.size() < 19) return std::nullopt;
    // What is before the offset has one form, which base::parse_time reads.
    std::size_t end = 19;
    if (end < text.size() && text[end] == '.') {
        ++end;
        while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    }
    const auto offset = parse_offset(text.substr(end));
    std::string plain(text.substr(0, end));
    if (plain[10] == ' ') plain[10] = 'T';
    const auto time = base::parse_time(plain + "Z");
    if (!offset || !time) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::microseconds>(time->time_since_epoch()).count() -
           *offset * 60'000'000;
}

std::variant<std::vector<TopologyRow>, ProbeFailure> read_topology(const ResultSet& answer) {
    for (const char* column : {"name", "writer"}) {
        if (!answer.has(column)) return incomplete(fmt::format("topology: the answer has no column {}", column));
    }
    if (answer.rows.empty()) return incomplete("topology: the answer has no rows");
    if (answer.rows.size() > rows_max) {
        return incomplete(fmt::format("topology: {} rows, at most {} are read", answer.rows.size(), rows_max));
    }
    std::vector<TopologyRow> rows;
    for (std::size_t index = 0; index < answer.rows.size(); ++index) {
        auto read = read_row(answer, index);
        if (auto* failure = std::get_if<ProbeFailure>(&read)) return std::move(*failure);
        rows.push_back(std::move(std::get<TopologyRow>(read)));
    }
    return rows;
}

}  // namespace signalbox::probing
