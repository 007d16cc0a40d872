// SPDX-License-Identifier: Apache-2.0
// No _GNU_SOURCE here: it would change fd_set between modules.
#include <usrsctp.h>
