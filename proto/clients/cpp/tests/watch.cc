// Prints the events of a run, each as JSON: watch SERVER RUN.
#include <iostream>

#include "client.h"

int main(int, char** argv) {
  simmer::Client(argv[1]).Watch(argv[2], [](const simmer::wire::Event& event) {
    std::cout << event.json() << '\n';
  });
}
