#pragma once
// Small text helpers that every layer needs. ASCII rules only; no locale.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace signalbox::base {

// The whole text as a number, or nothing: no sign for the unsigned one, no spaces, no overflow.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<std::uint64_t> parse_uint(std::string_view text);
std::optional<double> parse_double(std::string_view text);

// Splits at every separator; "a,,b" has three parts, "" has one (empty).
std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
bool equal_ignoring_case(std::string_view a, std::string_view b);

// A name of ours (cluster, member, job, endpoint, connection…): 1–63 of a–z A–Z 0–9 . _ -, first a letter or digit.
bool is_name(std::string_view text);
// Lower-case hexadecimal.
std::string to_hex(std::string_view bytes);
// The candidate that differs in the fewest letters (at most 3), for "did you mean"; nothing if none is near.
std::optional<std::string> nearest(std::string_view text, const std::vector<std::string>& candidates);

// Reads a whole file that is at most size_max_bytes long; errors name the path and the reason.
Result<std::string> read_file(const std::string& path, std::uint64_t size_max_bytes);
// The same into `room`, which is made larger if need be and never smaller: what the view shows lives until its next
// use.
Result<std::string_view> read_file_into(const std::string& path, std::uint64_t size_max_bytes, std::string& room);

// Address and port of "10.0.0.1:3306" or "name:3306" or "[::1]:3306".
struct HostPort {
    std::string host;
    std::uint16_t port = 0;
    std::string text() const;
    friend bool operator==(const HostPort&, const HostPort&) = default;
};
Result<HostPort> parse_host_port(std::string_view text);

}  // namespace signalbox::base
