#include "domain/clusters/address.hpp"

#include <array>
#include <cstdint>
#include <optional>

#include "base/text.hpp"

namespace signalbox::clusters {
namespace {

std::optional<std::array<std::uint8_t, 4>> parse_v4(std::string_view text) {
    const auto parts = base::split(text, '.');
    if (parts.size() != 4) return std::nullopt;
    std::array<std::uint8_t, 4> bytes{};
    for (std::size_t i = 0; i < 4; ++i) {
        const auto value = base::parse_uint(parts[i]);
        const bool padded = parts[i].size() > 1 && parts[i][0] == '0';
        if (!value || *value > 255 || padded) return std::nullopt;
        bytes[i] = static_cast<std::uint8_t>(*value);
    }
    return bytes;
}

// One to four hexadecimal digits.
std::optional<std::uint16_t> parse_group(std::string_view text) {
    if (text.empty() || text.size() > 4) return std::nullopt;
    unsigned value = 0;
    for (const char letter : text) {
        unsigned digit = 16;
        if (letter >= '0' && letter <= '9') digit = static_cast<unsigned>(letter - '0');
        if (letter >= 'a' && letter <= 'f') digit = static_cast<unsigned>(letter - 'a') + 10;
        if (letter >= 'A' && letter <= 'F') digit = static_cast<unsigned>(letter - 'A') + 10;
        if (digit == 16) return std::nullopt;
        value = value * 16 + digit;
    }
    return static_cast<std::uint16_t>(value);
}

// The groups on one side of "::", the last of which may be an IPv4 address. None: malformed.
std::optional<std::size_t> read_groups(std::string_view text, std::array<std::uint16_t, 8>& out) {
    if (text.empty()) return 0;
    std::size_t count = 0;
    const auto parts = base::split(text, ':');
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto v4 = i + 1 == parts.size() ? parse_v4(parts[i]) : std::nullopt;
        if (count + (v4 ? 2 : 1) > 8) return std::nullopt;
        if (v4) {
            out[count++] = static_cast<std::uint16_t>((*v4)[0] << 8U | (*v4)[1]);
            out[count++] = static_cast<std::uint16_t>((*v4)[2] << 8U | (*v4)[3]);
            continue;
        }
        const auto group = parse_group(parts[i]);
        if (!group) return std::nullopt;
        out[count++] = *group;
    }
    return count;
}

std::optional<std::array<std::uint16_t, 8>> parse_v6(std::string_view text) {
    std::array<std::uint16_t, 8> groups{};
    const std::size_t gap = text.find("::");
    if (gap == std::string_view::npos) {
        const auto count = read_groups(text, groups);
        return count && *count == 8 ? std::optional(groups) : std::nullopt;
    }
    std::array<std::uint16_t, 8> tail{};
    const auto head_count = read_groups(text.substr(0, gap), groups);
    const auto tail_count = read_groups(text.substr(gap + 2), tail);
    if (!head_count || !tail_count || *head_count + *tail_count > 7) return std::nullopt;
    for (std::size_t i = *head_count; i < 8; ++i) groups[i] = 0;
    for (std::size_t i = 0; i < *tail_count; ++i) groups[8 - *tail_count + i] = tail[i];
    return groups;
}

}  // namespace

bool is_member_address(std::string_view text) {
    if (const auto v4 = parse_v4(text)) return (*v4)[0] != 0 && (*v4)[0] < 224;
    const auto v6 = parse_v6(text);
    if (!v6) return false;
    bool unspecified = true;
    for (const std::uint16_t group : *v6) unspecified = unspecified && group == 0;
    return !unspecified && ((*v6)[0] & 0xff00U) != 0xff00U;
}

}  // namespace signalbox::clusters
