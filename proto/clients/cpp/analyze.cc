// Runs a recipe up to a stage and says why a row was kept or dropped: analyze RECIPE STAGE ROW; or says how the answers of
// two runs differ: analyze BEFORE AFTER. Prints JSON; SIMMER_SERVER says where.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

#include "client.h"

int main(int argc, char** argv) {
  const char* address = std::getenv("SIMMER_SERVER");
  if ((argc != 3 && argc != 4) || address == nullptr) {
    std::cerr << "usage: SIMMER_SERVER=ADDRESS analyze RECIPE STAGE ROW | BEFORE AFTER\n";
    return 2;
  }
  try {
    simmer::Client client(address, simmer::OptionsOfEnvironment());
    if (argc == 3) {
      std::cout << client.DiffEvaluations(argv[1], argv[2]) << '\n';
      return 0;
    }
    std::stringstream text;
    text << std::ifstream(argv[1]).rdbuf();
    // The server takes the same id for the same request: this one has to be new.
    const std::string request_id = "cpp-" + std::to_string(std::random_device{}()) + std::to_string(std::random_device{}());
    const auto run = client.CreateRun(text.str(), {}, request_id, argv[2]);
    client.Watch(run.run_id(), [](const simmer::wire::Event&) {});
    std::cout << client.ExplainRow(run.run_id(), argv[3]) << '\n';
  } catch (const simmer::Error& error) {
    std::cerr << "error[" << error.code() << "]: " << error.what() << '\n';
    return 1;
  }
}
