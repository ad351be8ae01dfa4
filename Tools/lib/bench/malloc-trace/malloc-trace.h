// mtrace and muntrace, which the module Glibc leaves out.
#pragma once
#include <mcheck.h>
