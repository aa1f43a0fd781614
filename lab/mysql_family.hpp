#pragma once
// What MariaDB and MySQL have in common as members of a lab's cluster: the controller's connection, accounts, health.

#include "adapters/mysql/client.hpp"
#include "lab/member.hpp"

namespace signalbox::lab {

class MysqlFamily : public Member {
  public:
    // `account`: the user that the server runs as.
    MysqlFamily(Setup setup, std::string template_directory, std::string account);

    base::Status make_data() override;
    bool ready() override;
    base::Status create_accounts(const ClusterSpec& spec) override;
    std::unique_ptr<Pulse> make_pulse() const override;
    // From the empty directory and the whole binary log of the writer, which a lab never purges.
    base::Status start_afresh() override { return make_data(); }

  protected:
    void disconnect() override { client_.close(); }
    std::string socket() const { return setup_.directory + "/server.sock"; }
    // The controller's way in; root is known by the socket.
    mysql::ConnectParams local() const;
    base::Result<mysql::ResultSet> query(const std::string& sql, base::Duration timeout = std::chrono::seconds(5));
    base::Status execute(const std::string& statements, base::Duration timeout = std::chrono::seconds(5));
    base::Result<std::string> value(const std::string& expression);
    // What the first writer does before accounts can be made on it; ends with "; ".
    virtual std::string take_writes() const = 0;
    // Options that both servers know under the same name.
    std::vector<std::string> common_options(unsigned server_id) const;

    const std::string account_;

  private:
    const std::string template_;
    mysql::Client client_;
};

}  // namespace signalbox::lab
