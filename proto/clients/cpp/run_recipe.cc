// Runs a recipe on a server, follows it, and fetches what it made: run_recipe RECIPE [PARAM=VALUE ...]; SIMMER_SERVER says
// where.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>

#include "client.h"

int main(int argc, char** argv) {
  const char* address = std::getenv("SIMMER_SERVER");
  std::map<std::string, std::string> params;
  for (int i = 2; i < argc; ++i) {
    const std::string given = argv[i];
    const auto equals = given.find('=');
    if (equals != std::string::npos) params[given.substr(0, equals)] = given.substr(equals + 1);
  }
  if (argc < 2 || static_cast<int>(params.size()) != argc - 2 || address == nullptr) {
    std::cerr << "usage: SIMMER_SERVER=ADDRESS run_recipe RECIPE [PARAM=VALUE ...]\n";
    return 2;
  }
  std::stringstream text;
  text << std::ifstream(argv[1]).rdbuf();
  try {
    simmer::Client client(address, simmer::OptionsOfEnvironment());
    // The server takes the same id for the same request: this one has to be new.
    const std::string request_id = "cpp-" + std::to_string(std::random_device{}()) + std::to_string(std::random_device{}());
    const auto run = client.CreateRun(text.str(), params, request_id);
    client.Watch(run.run_id(), [](const simmer::wire::Event& event) {
      std::cout << event.sequence() << ' ' << event.type() << '\n';
    });
    const auto made = client.ListArtifacts(run.run_id());
    for (const auto& artifact : made.artifacts()) {
      for (const auto& file : artifact.files()) {
        std::size_t size = 0;
        client.ReadArtifact(artifact.artifact_id(), file.path(), [&](const std::string& data) { size += data.size(); });
        std::cout << artifact.stage() << '.' << artifact.output() << ' ' << file.path() << ": " << size << " bytes\n";
      }
    }
    std::cout << simmer::wire::RunStatus_Name(client.GetRun(run.run_id()).status()) << '\n';
  } catch (const simmer::Error& error) {
    std::cerr << "error[" << error.code() << "]: " << error.what() << '\n';
    return 1;
  }
}
