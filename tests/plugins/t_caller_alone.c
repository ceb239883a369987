/* SPDX-License-Identifier: Apache-2.0 */
/* t_caller.c without the right to start processes: its worker has no keeper. */
#define NAME t_caller_alone
#define FLAGS 0
#include "t_caller.c"
