/* SPDX-License-Identifier: Apache-2.0 */
/* Exports the symbol, but it is no descriptor: four bytes. */
extern const int skymon_plugin;
__attribute__((visibility("default"))) const int skymon_plugin = 0x10000;
