#include "compiler/ir/error.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"
namespace sylvite {
KernelBody pool_template(TemplateInput &) { SYLVITE_CHECK(false); }
}
