#include <array>

#include "domain/alarms/packing_internal.hpp"

namespace signalbox::alarms {
namespace {

constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> values = [] {
    std::array<std::int8_t, 256> table{};
    for (auto& value : table) value = -1;
    for (std::size_t i = 0; i < letters.size(); ++i)
        table[static_cast<unsigned char>(letters[i])] = static_cast<std::int8_t>(i);
    return table;
}();

}  // namespace

std::string to_base64(std::string_view bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j)
            group = group << 8 | (j < have ? static_cast<unsigned char>(bytes[i + j]) : 0U);
        for (std::size_t j = 0; j < 4; ++j) text += j <= have ? letters[group >> (18 - 6 * j) & 63U] : '=';
    }
    return text;
}

base::Result<std::string> from_base64(std::string_view text) {
    if (text.size() % 4 != 0) return base::fail(base::ErrorKind::CorruptData, "text that is no base64");
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    for (std::size_t i = 0; i < text.size(); i += 4) {
        std::uint32_t group = 0;
        std::size_t have = 4;
        if (i + 4 == text.size())
            while (have > 2 && text[i + have - 1] == '=') --have;
        for (std::size_t j = 0; j < 4; ++j) {
            const int value = j < have ? values[static_cast<unsigned char>(text[i + j])] : 0;
            if (value < 0) return base::fail(base::ErrorKind::CorruptData, "text that is no base64");
            group = group << 6 | static_cast<std::uint32_t>(value);
        }
        for (std::size_t j = 0; j + 1 < have; ++j) bytes += static_cast<char>(group >> (16 - 8 * j) & 255U);
    }
    return bytes;
}

}  // namespace signalbox::alarms
