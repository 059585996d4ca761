// Prints the recipe of a run, or the code of what went wrong: get_run SERVER RUN SECONDS; each call may take so long.
#include <iostream>

#include "client.h"

int main(int, char** argv) {
  simmer::Options options;
  options.call_seconds = std::stod(argv[3]);
  try {
    std::cout << simmer::Client(argv[1], options).GetRun(argv[2]).recipe() << '\n';
  } catch (const simmer::Error& error) {
    std::cout << error.code() << '\n';
  }
}
