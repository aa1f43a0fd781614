#include "base/text.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <sys/stat.h>

namespace signalbox::base {
namespace {

template <typename T>
std::optional<T> parse_number(std::string_view text) {
    T value{};
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
    return value;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row[b.size()];
}

}  // namespace

std::optional<std::int64_t> parse_int(std::string_view text) { return parse_number<std::int64_t>(text); }
std::optional<std::uint64_t> parse_uint(std::string_view text) { return parse_number<std::uint64_t>(text); }
std::optional<double> parse_double(std::string_view text) { return parse_number<double>(text); }

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const std::size_t at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n";
    const std::size_t first = text.find_first_not_of(blank);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
    return fmt::format("{}", fmt::join(parts, separator));
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

bool is_name(std::string_view text) {
    if (text.empty() || text.size() > 63 || !is_alphanumeric(text.front())) return false;
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

std::string to_hex(std::string_view bytes) {
    std::string hex;
    hex.reserve(bytes.size() * 2);
    for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return hex;
}

std::optional<std::string> nearest(std::string_view text, const std::vector<std::string>& candidates) {
    std::optional<std::string> best;
    std::size_t best_distance = 4;
    for (const std::string& candidate : candidates) {
        const std::size_t distance = edit_distance(text, candidate);
        if (distance < best_distance && distance < candidate.size()) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best;
}

Result<std::string> read_file(const std::string& path, std::uint64_t size_max_bytes) {
    std::string content;
    SB_TRY(const std::string_view bytes, read_file_into(path, size_max_bytes, content));
    content.resize(bytes.size());
    return content;
}

Result<std::string_view> read_file_into(const std::string& path, std::uint64_t size_max_bytes, std::string& room) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
    const auto failed = [&] {
        const int code = errno;
        Error error{code == ENOENT ? ErrorKind::NotFound : ErrorKind::Unavailable,
                    fmt::format("cannot read: {}", std::strerror(code)), path, code};
        return tl::unexpected<Error>(std::move(error));
    };
    if (!file) return failed();
    // What the file says of its size is a guess: it may grow, and some files say nothing.
    constexpr std::size_t size_min = 1 << 12;
    std::setvbuf(file.get(), nullptr, _IONBF, 0);
    struct stat status {};
    const bool sized = ::fstat(::fileno(file.get()), &status) == 0 && S_ISREG(status.st_mode);
    const auto guess = sized ? std::min<std::uint64_t>(static_cast<std::uint64_t>(status.st_size), size_max_bytes) : 0;
    std::size_t used = 0;
    for (std::size_t wanted = std::max<std::size_t>(guess + 1, size_min);; wanted = 2 * room.size()) {
        if (room.size() < wanted) room.resize(wanted);
        used += std::fread(room.data() + used, 1, room.size() - used, file.get());
        if (used > size_max_bytes) {
            return in_context(Error{ErrorKind::InvalidArgument,
                                    fmt::format("is larger than {} bytes, the most that is read", size_max_bytes),
                                    {},
                                    0},
                              path);
        }
        if (used < room.size()) break;
    }
    if (std::ferror(file.get()) != 0) return failed();
    return std::string_view(room.data(), used);
}

std::string HostPort::text() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

Result<HostPort> parse_host_port(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    std::string_view host = text.substr(0, colon);
    const auto port = colon == std::string_view::npos ? std::nullopt : parse_uint(text.substr(colon + 1));
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    if (host.empty() || !port || *port > 65535) {
        return fail(ErrorKind::InvalidArgument, "'{}' is not an address with a port, like 10.0.0.1:3306", text);
    }
    return HostPort{std::string(host), static_cast<std::uint16_t>(*port)};
}

}  // namespace signalbox::base
