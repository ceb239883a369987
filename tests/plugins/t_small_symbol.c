/* SPDX-License-Identifier: Apache-2.0 */
/* Exports the symbol, but not as a descriptor: four bytes. */
extern const int skymon_plugin;
__attribute__((visibility("default"))) const int skymon_plugin = 0x10000;
