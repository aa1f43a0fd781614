#include "adapters/nftables/nft.hpp"

#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.hpp"

namespace signalbox::kernel {

using base::ErrorKind;
using base::fail;

namespace {

// nft prints its reason, the command and a line that underlines; a whole script may follow.
std::string first_words(std::string_view output) {
    std::string text;
    std::size_t lines = 0;
    for (const std::string_view line : base::split(output, '\n')) {
        const std::string_view words = base::trim(line);
        if (words.empty() || words.find_first_not_of("^~ ") == std::string_view::npos) continue;
        if (++lines > 2) break;
        if (!text.empty()) text += ": ";
        text += words.substr(0, 300);
    }
    return text.empty() ? "no reason given" : text;
}

}  // namespace

void Nft::Free::operator()(nft_ctx* context) const { nft_ctx_free(context); }

base::Result<Nft> Nft::open() {
    // The library ends the process if it gets no socket; so ask first.
    const int probe = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (probe < 0) {
        return fail(ErrorKind::NotSupported,
                    "no netfilter netlink socket ({}): the kernel needs nf_tables (CONFIG_NF_TABLES, module nfnetlink)",
                    std::strerror(errno));
    }
    ::close(probe);
    nft_ctx* context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (context == nullptr) return fail(ErrorKind::Unavailable, "libnftables gave no context: out of memory?");
    nft_ctx_buffer_output(context);
    nft_ctx_buffer_error(context);
    return Nft(context);
}

base::Status Nft::execute(const std::string& commands, bool json) {
    nft_ctx_output_set_flags(context_.get(), json ? NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_ALL : 0U);
    errno = 0;
    const int result = nft_run_cmd_from_buffer(context_.get(), commands.c_str());
    const int code = errno;
    const std::string said = first_words(nft_ctx_get_error_buffer(context_.get()));
    if (result == 0) return {};
    if (code == EPERM || said.find("Operation not permitted") != std::string::npos) {
        return fail(ErrorKind::PermissionDenied, "nftables refuses: CAP_NET_ADMIN is missing ({})", said);
    }
    return fail(ErrorKind::Unavailable, "nftables refuses: {}", said);
}

base::Status Nft::run(const std::string& commands) {
    if (commands.empty()) return {};
    return execute(commands, false);
}

base::Result<std::string> Nft::list(const std::string& command) {
    if (const auto done = execute(command, true); !done) {
        base::Error error = done.error();
        if (error.message.find("No such file or directory") != std::string::npos) error.kind = ErrorKind::NotFound;
        return tl::unexpected<base::Error>(std::move(error));
    }
    return std::string(nft_ctx_get_output_buffer(context_.get()));
}

}  // namespace signalbox::kernel
