#include "app/engines.hpp"

#include "adapters/mysql/link.hpp"
#include "adapters/postgres/link.hpp"

namespace signalbox::app {
namespace {

template <typename Link>
std::unique_ptr<probing::MemberLink> make(const probing::Target& target) {
    return std::make_unique<Link>(target);
}

}  // namespace

probing::Engines engines() {
    return {{clusters::Engine::MariaDb, make<mysql::Link>},
            {clusters::Engine::MySql, make<mysql::Link>},
            {clusters::Engine::PostgreSql, make<postgres::Link>}};
}

}  // namespace signalbox::app
