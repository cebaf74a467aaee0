#include "compiler/ir/error.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"
namespace sylvite {
KernelBody softmax_template(TemplateInput &) { SYLVITE_CHECK(false); }
}
