#include "wire/postgres/startup.hpp"

#include <algorithm>

namespace signalbox::wire::postgres {
namespace {

constexpr std::uint32_t code_cancel = 80877102;
constexpr std::uint32_t code_ssl = 80877103;
constexpr std::uint32_t code_gss = 80877104;
constexpr unsigned char tls_handshake = 0x16;  // the first byte of a TLS record of that type
constexpr std::size_t cancel_fixed_bytes = 12;
constexpr std::size_t secret_min_bytes = 4;
constexpr std::size_t text_max_bytes = 1000;
constexpr std::size_t message_header_bytes = 5;
constexpr std::size_t message_kept_bytes = 512;         // a key is whole in it, and an error's SQLSTATE stands early
constexpr std::uint32_t start_message_max = 1U << 20U;  // no message of a start-up is longer
constexpr std::string_view terminate("X\0\0\0\x04", 5);

std::uint32_t number_at(std::string_view bytes, std::size_t at) {
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < 4; ++i) number = number << 8U | static_cast<unsigned char>(bytes[at + i]);
    return number;
}

void put_number(std::string& bytes, std::uint32_t number) {
    for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes.push_back(static_cast<char>(number >> shift & 0xFFU));
}

void put_field(std::string& bytes, char type, std::string_view text) {
    text = text.substr(0, text_max_bytes);
    bytes.push_back(type);
    bytes += text.substr(0, text.find('\0'));
    bytes.push_back('\0');
}

// The field of an ErrorResponse's body, empty if it is not whole there.
std::string_view error_field(std::string_view body, char type) {
    while (!body.empty() && body.front() != '\0') {
        const std::size_t end = body.find('\0', 1);
        if (end == std::string_view::npos) return {};
        if (body.front() == type) return body.substr(1, end - 1);
        body.remove_prefix(end + 1);
    }
    return {};
}

}  // namespace

Opening parse_opening(std::string_view bytes) {
    if (bytes.empty()) return {};
    if (static_cast<unsigned char>(bytes.front()) == tls_handshake) return {OpeningKind::Tls, 0, {}};
    if (bytes.front() != '\0') return {OpeningKind::Unknown, 0, {}};
    if (bytes.size() < packet_min_bytes) return {};
    const std::size_t size = number_at(bytes, 0);
    const std::uint32_t code = number_at(bytes, 4);
    if (size < packet_min_bytes || size > startup_max_bytes) return {OpeningKind::Unknown, 0, {}};
    if (code == code_ssl || code == code_gss) {
        if (size != packet_min_bytes) return {OpeningKind::Unknown, 0, {}};
        return {code == code_ssl ? OpeningKind::SslRequest : OpeningKind::GssRequest, size, {}};
    }
    if (code != code_cancel) return {OpeningKind::Startup, size, {}};
    if (size < cancel_fixed_bytes + secret_min_bytes || size > cancel_fixed_bytes + secret_max_bytes) {
        return {OpeningKind::Unknown, 0, {}};
    }
    if (bytes.size() < size) return {};
    const std::string_view secret = bytes.substr(cancel_fixed_bytes, size - cancel_fixed_bytes);
    return {OpeningKind::Cancel, size, {number_at(bytes, packet_min_bytes), std::string(secret)}};
}

std::string build_fatal(std::string_view sql_state, std::string_view message, std::string_view hint) {
    std::string body;
    put_field(body, 'S', "FATAL");
    put_field(body, 'V', "FATAL");
    put_field(body, 'C', sql_state);
    put_field(body, 'M', message);
    if (!hint.empty()) put_field(body, 'H', hint);
    body.push_back('\0');
    std::string packet = "E";
    put_number(packet, static_cast<std::uint32_t>(body.size() + 4));
    return packet + body;
}

std::string build_cancel(const CancelKey& key) {
    std::string packet;
    put_number(packet, static_cast<std::uint32_t>(cancel_fixed_bytes + key.secret.size()));
    put_number(packet, code_cancel);
    put_number(packet, key.process_id);
    return packet + key.secret;
}

bool ends_with_terminate(std::string_view bytes) { return bytes.ends_with(terminate); }

void StartupScan::from_client(std::string_view bytes) {
    if (state_ != State::Opening) return;
    kept_ += bytes.substr(0, cancel_fixed_bytes + secret_max_bytes - kept_.size());
    Opening opening = parse_opening(kept_);
    switch (opening.kind) {
        case OpeningKind::Incomplete:
            return;
        case OpeningKind::SslRequest:
        case OpeningKind::GssRequest:
            state_ = State::Encryption;
            break;
        case OpeningKind::Startup:
            state_ = State::Messages;
            break;
        case OpeningKind::Cancel:
            cancel_ = std::move(opening.cancel);
            state_ = State::Done;
            break;
        case OpeningKind::Tls:
        case OpeningKind::Unknown:
            state_ = State::Done;
            break;
    }
    kept_.clear();
}

void StartupScan::from_server(std::string_view bytes) {
    if (bytes.empty() || state_ == State::Done) return;
    if (state_ == State::Encryption && bytes == encryption_refused) {
        state_ = State::Opening;  // the client goes on with its next packet
        return;
    }
    // An error in place of the one byte is a message like any other.
    if (state_ == State::Encryption && bytes.front() == 'E') state_ = State::Messages;
    if (state_ == State::Messages) {
        messages(bytes);
    } else {
        state_ = State::Done;
    }
}

void StartupScan::messages(std::string_view bytes) {
    while (!bytes.empty() && state_ == State::Messages) {
        if (!in_body_) {
            const std::size_t part = std::min(message_header_bytes - kept_.size(), bytes.size());
            kept_ += bytes.substr(0, part);
            bytes.remove_prefix(part);
            if (kept_.size() < message_header_bytes) return;
            const std::uint32_t size = number_at(kept_, 1);
            if (size < 4 || size > start_message_max) {
                state_ = State::Done;
                return;
            }
            in_body_ = true;
            body_left_ = size - 4;
        }
        const std::size_t part = std::min(body_left_, bytes.size());
        kept_ += bytes.substr(0, std::min(part, message_kept_bytes - kept_.size()));
        bytes.remove_prefix(part);
        body_left_ -= part;
        if (body_left_ == 0) message_ended();
    }
}

void StartupScan::message_ended() {
    const std::string_view body = std::string_view(kept_).substr(message_header_bytes);
    switch (kept_.front()) {
        case 'K':
            if (body.size() >= 4 + secret_min_bytes && body.size() <= 4 + secret_max_bytes) {
                key_ = CancelKey{number_at(body, 0), std::string(body.substr(4))};
            }
            break;
        case 'E':
            sql_state_ = error_field(body, 'C');
            state_ = State::Done;
            break;
        case 'Z':  // ReadyForQuery: the session runs
            state_ = State::Done;
            break;
        default:
            break;
    }
    kept_.clear();
    in_body_ = false;
}

}  // namespace signalbox::wire::postgres
