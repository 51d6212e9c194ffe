/* SPDX-License-Identifier: Apache-2.0 */

/* The transport in process keeps its contract, on the simulated loop and on libuv. */
#include "cafe/loop/uv.h"
#include "cafe/testing/sim.h"
#include "cafe/transport/inproc.h"
#include "contract_suite.h"

typedef struct world {
  bool is_simulated;
  cafe_inproc *hub;
} world;

static int begin(cafe_loop **out, const cafe_allocator *allocator, void *user, cafe_err *err) {
  world *self = user;
  cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
  options.allocator = allocator;
  int code = self->is_simulated ? cafe_sim_create(out, 1, &options, err) : cafe_uv_create(out, NULL, allocator, err);
  if (code == CAFE_OK) {
    code = cafe_inproc_create(&self->hub, *out, allocator, err);
    if (code != CAFE_OK) {
      cafe_loop_destroy(*out);
    }
  }
  return code;
}

static void end(cafe_loop *loop, void *user) {
  world *self = user;
  cafe_inproc_destroy(self->hub);
  cafe_loop_destroy(loop);
}

static int create(cafe_transport **out, uint32_t number, void *user, cafe_err *err) {
  world *self = user;
  (void)number;
  return cafe_inproc_join(out, self->hub, err);
}

static void cut(uint32_t number, bool is_cut, void *user) {
  world *self = user;
  cafe_inproc_cut(self->hub, cafe_transport_contract_services(number)[0], is_cut);
}

static void disturb(uint64_t seed, void *user) {
  world *self = user;
  const cafe_inproc_faults faults = {sizeof(faults), 0.1 * (double)(seed % 4), 0.1 * (double)(seed % 3), 0,
                                     (int64_t)(seed % 5) * 1000};
  cafe_inproc_set_faults(self->hub, seed ? &faults : NULL);
}

static int run(const char *name, bool is_simulated, const char *only) {
  world self = {is_simulated, NULL};
  cafe_transport_contract contract = CAFE_TRANSPORT_CONTRACT_INIT;
  contract.name = name;
  contract.takes_allocator = true;
  contract.quiet_ms = is_simulated ? 5000 : 30;
  contract.user = &self;
  contract.begin = begin;
  contract.end = end;
  contract.create = create;
  contract.cut = cut;
  contract.disturb = disturb;
  return transport_suite_run(&contract, only);
}

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL;
  return run("inproc, simulated", true, only) + run("inproc, libuv", false, only);
}
