// SPDX-License-Identifier: Apache-2.0
module lines

go 1.19
