#include "compiler/ir/error.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"
namespace sylvite {
KernelBody arg_reduce_template(TemplateInput &) { SYLVITE_CHECK(false); }
}
