// DNS endpoints: the answers as bytes, and the server with dig and the C library as its clients.

#include <condition_variable>
#include <gmock/gmock.h>
#include <map>
#include <mutex>
#include <netdb.h>
#include <resolv.h>
#include <set>

#include "adapters/dns/dns_endpoints.hpp"
#include "adapters/dns/server.hpp"
#include "unit/adapters/haproxy_process.hpp"

namespace signalbox::test {
namespace {

using base::ErrorKind;
using dns::Transport;
using dns::Zone;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using namespace std::chrono_literals;

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t type_a = 1;
constexpr std::uint16_t type_txt = 16;
constexpr std::uint16_t type_aaaa = 28;

void put16(Bytes& bytes, unsigned value) {
    bytes.push_back(static_cast<std::uint8_t>(value >> 8U));
    bytes.push_back(static_cast<std::uint8_t>(value & 255U));
}

// A query as a stub resolver sends it; edns: with an OPT record of that version.
Bytes query(const std::string& name, unsigned type, std::optional<unsigned> edns = std::nullopt, unsigned size = 1232) {
    Bytes bytes{0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(edns ? 1 : 0)};
    for (const auto label : base::split(name, '.')) {
        bytes.push_back(static_cast<std::uint8_t>(label.size()));
        bytes.insert(bytes.end(), label.begin(), label.end());
    }
    bytes.push_back(0);
    put16(bytes, type);
    put16(bytes, 1);
    if (edns) {
        bytes.push_back(0);
        put16(bytes, 41);
        put16(bytes, size);
        put16(bytes, *edns);
        put16(bytes, 0);
        put16(bytes, 0);
    }
    return bytes;
}

struct Header {
    explicit Header(const Bytes& bytes) {
        if (bytes.size() < 12) return;
        const auto at = [&](std::size_t i) { return static_cast<unsigned>(bytes[i]) << 8U | bytes[i + 1]; };
        id = at(0);
        rcode = at(2) & 15U;
        authoritative = (at(2) & 0x0400U) != 0;
        truncated = (at(2) & 0x0200U) != 0;
        answers = at(6);
        authorities = at(8);
        additional = at(10);
    }
    unsigned id = 0;
    unsigned rcode = 99;
    bool authoritative = false;
    bool truncated = false;
    unsigned answers = 0;
    unsigned authorities = 0;
    unsigned additional = 0;
};

class DnsAnswer : public testing::Test {
  protected:
    DnsAnswer() {
        zone_.server = "127.0.0.1";
        zone_.names["orders.db.example"].targets = {{"10.0.0.1", 100}};
    }
    Bytes ask(const Bytes& bytes, Transport transport = Transport::Udp) {
        return answer(zone_, bytes.data(), bytes.size(), transport);
    }
    Header header(const Bytes& bytes, Transport transport = Transport::Udp) { return Header(ask(bytes, transport)); }
    Zone zone_;
};

TEST_F(DnsAnswer, a_name_is_answered_with_authority_in_any_case_and_others_are_refused) {
    for (const char* name : {"orders.db.example", "ORDERS.Db.exAmple"}) {
        const auto found = header(query(name, type_a));
        EXPECT_EQ(found.id, 0x1234U);
        EXPECT_EQ(found.rcode, 0U);
        EXPECT_TRUE(found.authoritative);
        EXPECT_EQ(found.answers, 1U);
    }
    for (const char* name : {"db.example", "other.example", "xorders.db.example", "example"}) {
        const auto refused = header(query(name, type_a));
        EXPECT_EQ(refused.rcode, 5U) << name;
        EXPECT_FALSE(refused.authoritative);
        EXPECT_EQ(refused.answers, 0U);
    }
    EXPECT_EQ(header(query("a.orders.db.example", type_a)).rcode, 3U) << "below our own name there is nothing";
    EXPECT_EQ(zone_.names["orders.db.example"].queries, 3U);
}

TEST_F(DnsAnswer, what_a_name_does_not_have_is_no_data_with_the_start_of_authority) {
    for (const unsigned type : {unsigned{type_txt}, unsigned{type_aaaa}, 65U, 999U}) {
        const auto found = header(query("orders.db.example", type));
        EXPECT_EQ(found.rcode, 0U) << type;
        EXPECT_EQ(found.answers, 0U) << type;
        EXPECT_EQ(found.authorities, 1U) << type;
    }
}

TEST_F(DnsAnswer, bytes_that_are_no_query_are_not_answered_and_odd_queries_are_told_so) {
    const auto whole = query("orders.db.example", type_a, 0);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        EXPECT_THAT(ask(cut), IsEmpty()) << size;
    }
    auto response = whole;
    response[2] |= 0x80;
    EXPECT_THAT(ask(response), IsEmpty()) << "an answer is never answered";
    auto notify = whole;
    notify[2] = 4 << 3;
    EXPECT_EQ(header(notify).rcode, 4U);
    Bytes none{0, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(header(none).rcode, 1U);
    auto chaos = query("orders.db.example", type_a);
    chaos.back() = 3;
    EXPECT_EQ(header(chaos).rcode, 5U);
}

TEST_F(DnsAnswer, edns_is_answered_with_edns_and_an_unknown_version_with_badvers) {
    EXPECT_EQ(header(query("orders.db.example", type_a)).additional, 0U);
    const auto with = header(query("orders.db.example", type_a, 0));
    EXPECT_EQ(with.additional, 1U);
    EXPECT_EQ(with.answers, 1U);
    const auto reply = ask(query("orders.db.example", type_a, 1));
    EXPECT_EQ(Header(reply).rcode, 0U);
    EXPECT_EQ(Header(reply).answers, 0U);
    ASSERT_GE(reply.size(), 11U);
    EXPECT_EQ(reply[reply.size() - 6], 1U) << "the extended code's upper bits";
}

TEST_F(DnsAnswer, what_is_too_large_for_udp_sends_the_client_to_tcp) {
    auto& name = zone_.names["orders.db.example"];
    name.targets.clear();
    for (int i = 1; i <= 200; ++i) name.targets.push_back({"10.0.0." + std::to_string(i), 100});
    const auto cut = ask(query("orders.db.example", type_a, 0, 65'000));
    EXPECT_LE(cut.size(), dns::udp_size_max);
    EXPECT_TRUE(Header(cut).truncated);
    EXPECT_EQ(Header(cut).answers, 0U) << "a part would be taken for the whole";
    const auto whole = header(query("orders.db.example", type_a, 0), Transport::Tcp);
    EXPECT_FALSE(whole.truncated);
    EXPECT_EQ(whole.answers, 200U);
    name.targets.resize(40);
    EXPECT_TRUE(header(query("orders.db.example", type_a)).truncated) << "512 bytes without EDNS";
    EXPECT_FALSE(header(query("orders.db.example", type_a, 0)).truncated);
}

TEST(DnsPick, everyone_comes_first_and_is_named_as_often_as_the_weight_says) {
    const std::vector<dns::Target> targets{{"a", 100}, {"b", 50}, {"c", 10}, {"d", 100}};
    std::map<std::string, int> seen;
    std::map<std::string, int> leading;
    for (std::uint64_t turn = 0; turn < 1000; ++turn) {
        const auto picked = dns::pick(targets, turn);
        ASSERT_FALSE(picked.empty());
        ++leading[picked.front().address];
        for (const auto& one : picked) ++seen[one.address];
    }
    EXPECT_EQ(seen["a"], 1000);
    EXPECT_EQ(seen["d"], 1000);
    EXPECT_NEAR(seen["b"], 550, 60) << "in half of them, and where it comes first";
    EXPECT_NEAR(seen["c"], 120, 30);
    EXPECT_NEAR(leading["a"], 385, 20);
    EXPECT_NEAR(leading["b"], 192, 20);
    EXPECT_NEAR(leading["c"], 38, 20);
    EXPECT_NEAR(leading["d"], 385, 20);
    EXPECT_THAT(dns::pick({}, 7), IsEmpty());
}

TEST(DnsNames, are_labels_between_dots) {
    for (const char* good : {"a", "orders.db.example", "_x-1.b", "1.2"}) EXPECT_TRUE(dns::is_domain_name(good)) << good;
    for (const std::string& bad :
         {std::string(), std::string("a."), std::string(".a"), std::string("a..b"), std::string("a b"),
          std::string("a\nb"), std::string(64, 'x'), std::string(241, 'x')})
        EXPECT_FALSE(dns::is_domain_name(bad)) << bad;
}

// The server.

std::string run(const std::string& command) {
    std::string output;
    std::FILE* pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) return "no shell";
    char buffer[4096];
    while (const std::size_t count = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, count);
    ::pclose(pipe);
    return output;
}

class DnsEndpointsTest : public testing::Test {
  protected:
    routing::EndpointConfig config(const std::string& endpoint, const std::string& name,
                                   routing::Role role = routing::Role::Writer) {
        routing::EndpointConfig config;
        config.name = endpoint;
        config.cluster = "orders";
        config.role = role;
        config.mode = routing::Mode::Dns;
        config.listen = {"127.0.0.1", 0};
        config.dns.name = name;
        return config;
    }
    void open(const routing::EndpointConfig& config) {
        const auto address = plane_->open(config);
        ASSERT_TRUE(address) << address.error().text();
        port_ = base::parse_host_port(*address).value().port;
    }
    std::string dig(const std::string& arguments) {
        return run(fmt::format("dig @127.0.0.1 -p {} +tries=3 +time=5 {}", port_, arguments));
    }
    bool fence(std::uint64_t epoch) {
        plane_->fence("orders", epoch);
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, 10s, [&] { return fenced_.contains(epoch); });
    }
    dns::DnsOptions options() {
        return {[this](const ports::BarrierDone& done) {
            {
                const std::lock_guard guard(mutex_);
                if (done.result.unfenced.empty() && done.cluster == "orders") fenced_.insert(done.epoch);
            }
            changed_.notify_all();
        }};
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    std::set<std::uint64_t> fenced_;
    std::uint16_t port_ = 0;
    std::unique_ptr<dns::DnsEndpoints> plane_ = std::make_unique<dns::DnsEndpoints>(options());
};

TEST_F(DnsEndpointsTest, a_writers_name_follows_the_epoch_and_nobody_is_named_in_between) {
    open(config("rw", "orders.db.example"));
    EXPECT_THAT(dig("orders.db.example A +short"), IsEmpty());
    plane_->route("orders", 1, "orders-1", {"10.0.0.1", 3306});
    EXPECT_EQ(dig("orders.db.example A +short"), "10.0.0.1\n");
    EXPECT_EQ(dig("oRders.db.Example A +short +tcp"), "10.0.0.1\n");
    plane_->hold("orders", 1);
    EXPECT_THAT(dig("orders.db.example A +short"), IsEmpty());
    plane_->route("orders", 1, "orders-1", {"10.0.0.1", 3306});
    ASSERT_TRUE(fence(2));
    const auto nobody = dig("orders.db.example A +noall +comments +answer +authority");
    EXPECT_THAT(nobody,
                AllOf(HasSubstr("NOERROR"), HasSubstr("aa"), HasSubstr("ANSWER: 0"), Not(HasSubstr("10.0.0.1"))));
    EXPECT_THAT(nobody, HasSubstr("hostmaster.orders.db.example. 2 60 10 60 0")) << "not to be remembered at all";
    plane_->route("orders", 1, "orders-1", {"10.0.0.1", 3306});
    EXPECT_THAT(dig("orders.db.example A +short"), IsEmpty()) << "an older epoch";
    plane_->route("orders", 2, "orders-2", {"fd00::2", 3306});
    EXPECT_EQ(dig("orders.db.example AAAA +short"), "fd00::2\n");
    EXPECT_THAT(dig("orders.db.example A +noall +comments +authority"),
                AllOf(HasSubstr("NOERROR"), HasSubstr("10 60 1")))
        << "no such family, for as long as the ttl";
    ASSERT_TRUE(fence(3));
}

TEST_F(DnsEndpointsTest, readers_go_round_without_those_that_drain_and_without_a_fenced_writer) {
    open(config("ro", "ro.orders.db.example", routing::Role::Reader));
    plane_->set_readers("orders", "ro",
                        {{"a", {"10.0.0.1", 1}}, {"b", {"10.0.0.2", 1}}, {"c", {"10.0.0.3", 1}, 100, true}});
    EXPECT_EQ(dig("ro.orders.db.example A +short"), "10.0.0.1\n10.0.0.2\n");
    EXPECT_EQ(dig("ro.orders.db.example A +short"), "10.0.0.2\n10.0.0.1\n");
    plane_->route("orders", 1, "a", {"10.0.0.1", 1});
    ASSERT_TRUE(fence(2));
    EXPECT_EQ(dig("ro.orders.db.example A +short"), "10.0.0.2\n");
    plane_->route("orders", 2, "b", {"10.0.0.2", 1});
    EXPECT_THAT(dig("ro.orders.db.example A +short"), HasSubstr("10.0.0.1\n"));
    std::vector<routing::ReaderTarget> many;
    for (int i = 1; i <= 200; ++i) many.push_back({"m" + std::to_string(i), {"10.1.0." + std::to_string(i), 1}});
    plane_->set_readers("orders", "ro", many);
    const auto all = dig("ro.orders.db.example A +short");
    EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 200) << "by TCP, as dig does when it is told";
}

TEST_F(DnsEndpointsTest, several_endpoints_share_an_address_and_each_can_go) {
    open(config("rw", "orders.db.example"));
    const auto port = port_;
    open(config("ro", "ro.db.example", routing::Role::Reader));
    EXPECT_EQ(port_, port);
    const auto twice = plane_->open(config("again", "Orders.db.example"));
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().kind, ErrorKind::AlreadyExists);
    EXPECT_THAT(twice.error().text(), HasSubstr("endpoint 'again': endpoint 'rw' has the name orders.db.example"));
    plane_->route("orders", 1, "a", {"10.0.0.1", 1});
    plane_->set_readers("orders", "ro", {{"b", {"10.0.0.2", 1}}});
    EXPECT_EQ(dig("orders.db.example +short"), "10.0.0.1\n");
    EXPECT_EQ(dig("ro.db.example +short"), "10.0.0.2\n");
    EXPECT_EQ(dig("ns.ro.db.example +short"), "127.0.0.1\n");
    EXPECT_EQ(dig("ro.db.example NS +short"), "ns.ro.db.example.\n");
    plane_->close("ro");
    EXPECT_THAT(dig("ro.db.example"), HasSubstr("REFUSED"));
    open(config("ro", "ro.db.example", routing::Role::Reader));
    EXPECT_EQ(dig("ro.db.example +short"), "10.0.0.2\n") << "its set is what it was: nobody tells it again";
    plane_->close("ro");
    ASSERT_EQ(plane_->stats().size(), 1U);
    EXPECT_EQ(plane_->stats()[0].accepted, 1U);
    EXPECT_THAT(plane_->stats()[0].note, IsEmpty());
    EXPECT_EQ(plane_->stats()[0].address, "127.0.0.1:" + std::to_string(port));
    plane_->close("rw");
    EXPECT_EQ(connect_to(port), -1) << "the last one closes the port";
    auto same = config("rw", "orders.db.example");
    same.listen.port = port;
    EXPECT_TRUE(plane_->open(same)) << "which is free at once";
}

TEST_F(DnsEndpointsTest, a_port_in_use_and_names_and_addresses_that_can_not_be_are_told) {
    const Listener taken;
    auto wanted = config("rw", "orders.db.example");
    wanted.listen.port = taken.port();
    const auto refused = plane_->open(wanted);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::Unavailable);
    EXPECT_EQ(refused.error().text(),
              fmt::format("endpoint 'rw': can't listen on 127.0.0.1:{}: Address already in use", taken.port()));
    EXPECT_EQ(plane_->open(config("rw", "orders..example")).error().kind, ErrorKind::InvalidConfig);
    wanted.listen.host = "somewhere";
    EXPECT_EQ(plane_->open(wanted).error().kind, ErrorKind::InvalidArgument);
    EXPECT_THAT(plane_->stats(), IsEmpty());
}

TEST_F(DnsEndpointsTest, an_endpoint_opened_later_or_updated_answers_what_holds_now) {
    plane_->route("orders", 4, "a", {"10.0.0.1", 1});
    auto wanted = config("rw", "orders.db.example");
    open(wanted);
    EXPECT_THAT(dig("orders.db.example +noall +answer"), HasSubstr("1\tIN\tA\t10.0.0.1"));
    wanted.dns.ttl = 1500ms;
    plane_->update(wanted);
    EXPECT_THAT(dig("orders.db.example +noall +answer"), HasSubstr("2\tIN\tA\t10.0.0.1"));
    wanted.dns.name = "other.example";
    open(wanted);
    EXPECT_EQ(dig("other.example +short"), "10.0.0.1\n");
    EXPECT_THAT(dig("orders.db.example"), HasSubstr("REFUSED"));
}

// The resolver of the C library, asking this server alone.
std::vector<std::string> resolve(std::uint16_t port, const char* name, int& error) {
    ::res_init();
    _res.nscount = 1;
    _res.nsaddr_list[0] = loopback(port);
    _res.retrans = 5;
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    error = ::getaddrinfo(name, nullptr, &hints, &list);
    std::vector<std::string> found;
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
        char text[64] = {};
        ::getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
        found.emplace_back(text);
    }
    if (list != nullptr) ::freeaddrinfo(list);
    return found;
}

TEST_F(DnsEndpointsTest, the_c_librarys_resolver_gets_its_address_or_a_clear_no) {
    open(config("rw", "orders.db.example"));
    plane_->route("orders", 1, "a", {"10.0.0.1", 1});
    int error = 0;
    EXPECT_THAT(resolve(port_, "orders.db.example", error), ElementsAre("10.0.0.1"));
    ASSERT_TRUE(fence(2));
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THAT(resolve(port_, "orders.db.example", error), IsEmpty());
    EXPECT_NE(error, 0);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s) << "answered, not timed out";
}

TEST_F(DnsEndpointsTest, clients_that_dawdle_or_talk_nonsense_over_tcp_disturb_nobody) {
    plane_.reset();
    dns::Server server({4, 300ms});
    const auto address = server.listen({"127.0.0.1", 0}).value();
    server.change(address, [](Zone& zone) { zone.names["a.example"].targets = {{"10.0.0.1", 100}}; });
    port_ = base::parse_host_port(address).value().port;
    std::vector<int> idle;
    for (int i = 0; i < 8; ++i) idle.push_back(connect_to(port_));
    EXPECT_TRUE(ends(idle.front(), 5000)) << "more than four: the one that is idle longest goes";
    EXPECT_EQ(dig("a.example +short +tcp"), "10.0.0.1\n");
    const int nonsense = connect_to(port_);
    ::send(nonsense, "\xff\xff\xff\xff", 4, MSG_NOSIGNAL);
    EXPECT_TRUE(ends(nonsense, 5000));
    EXPECT_TRUE(ends(idle.back(), 5000)) << "idle for too long";
    EXPECT_EQ(dig("a.example +short"), "10.0.0.1\n");
    for (const int fd : idle) ::close(fd);
    ::close(nonsense);
}

TEST_F(DnsEndpointsTest, it_ends_within_milliseconds) {
    open(config("rw", "orders.db.example"));
    const int client = connect_to(port_);
    std::this_thread::sleep_for(20ms);
    const auto begin = std::chrono::steady_clock::now();
    plane_.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 200ms);
    EXPECT_TRUE(ends(client, 5000));
    ::close(client);
}

}  // namespace
}  // namespace signalbox::test
