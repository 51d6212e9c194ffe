/* SPDX-License-Identifier: Apache-2.0 */
#include "shop/shop.h"

int main(int argc, char **argv) { return shop_main(argc, argv, NULL); }
