#include "domain/network/facts.hpp"

#include "base/text.hpp"

namespace signalbox::network {
namespace {

std::uint32_t mask_of(int prefix_bits) { return prefix_bits == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix_bits); }

}  // namespace

bool Range::contains(std::uint32_t address) const { return (address & mask_of(prefix_bits)) == base; }

bool Range::contains(const Range& other) const { return other.prefix_bits >= prefix_bits && contains(other.base); }

std::uint32_t Range::last() const { return base | ~mask_of(prefix_bits); }

std::string Range::text() const { return fmt::format("{}/{}", address_text(base), prefix_bits); }

std::string address_text(std::uint32_t address) {
    return fmt::format("{}.{}.{}.{}", address >> 24, (address >> 16) & 255, (address >> 8) & 255, address & 255);
}

// Allocates nothing: every check of a source parses its address.
std::optional<std::uint32_t> parse_address(std::string_view text) {
    constexpr int parts = 4;
    std::uint32_t address = 0;
    for (int part = 1; part <= parts; ++part) {
        const std::size_t end = part < parts ? text.find('.') : text.size();
        if (end == std::string_view::npos) return std::nullopt;
        const auto number = base::parse_uint(text.substr(0, end));
        if (!number || *number > 255 || (end > 1 && text.front() == '0')) return std::nullopt;
        address = address << 8 | static_cast<std::uint32_t>(*number);
        if (part < parts) text.remove_prefix(end + 1);
    }
    return address;
}

base::Result<Range> parse_range(std::string_view text) {
    const std::size_t slash = text.find('/');
    const auto address = parse_address(text.substr(0, slash));
    constexpr std::uint64_t none = 33;
    const std::uint64_t bits =
        slash == std::string_view::npos ? none : base::parse_uint(text.substr(slash + 1)).value_or(none);
    if (!address || bits > 32) {
        return base::fail(base::ErrorKind::InvalidArgument, "'{}' is not an address range, like 10.0.0.0/16", text);
    }
    const auto prefix_bits = static_cast<int>(bits);
    const Range range{*address & mask_of(prefix_bits), prefix_bits};
    if (range.base != *address) {
        return base::fail(base::ErrorKind::InvalidArgument, "'{}' has bits outside of its prefix; did you mean {}?",
                          text, range.text());
    }
    return range;
}

}  // namespace signalbox::network
