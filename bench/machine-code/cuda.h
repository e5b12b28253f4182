/* What Metal's shading language has beside C++, as much of it as kernels use, for clang's CUDA (see nvidia.mjs). */
#define INLINE static inline __attribute__((device)) __attribute__((always_inline))
#define METHOD __attribute__((device)) __attribute__((always_inline))
#define SHARED static __attribute__((device)) __attribute__((shared))
#define KERNEL(threads) extern "C" __attribute__((global)) __attribute__((launch_bounds(threads))) void
#define CTAID(dim) __nvvm_read_ptx_sreg_ctaid_##dim()
#define NCTAID(dim) __nvvm_read_ptx_sreg_nctaid_##dim()
#define TID __nvvm_read_ptx_sreg_tid_x()

typedef unsigned int uint;
typedef unsigned short ushort;
typedef _Float16 half;
typedef unsigned long size_t;

#define VECTORS(T) \
  typedef T T##2 __attribute__((ext_vector_type(2))); \
  typedef T T##3 __attribute__((ext_vector_type(3))); \
  typedef T T##4 __attribute__((ext_vector_type(4))); \
  INLINE T##2 make_##T##2(T a) { return (T##2)(a); } \
  INLINE T##2 make_##T##2(T a, T b) { T##2 v = {a, b}; return v; } \
  INLINE T##2 make_##T##2(T##2 v) { return v; } \
  INLINE T##3 make_##T##3(T a) { return (T##3)(a); } \
  INLINE T##3 make_##T##3(T a, T b, T c) { T##3 v = {a, b, c}; return v; } \
  INLINE T##4 make_##T##4(T a) { return (T##4)(a); } \
  INLINE T##4 make_##T##4(T a, T b, T c, T d) { T##4 v = {a, b, c, d}; return v; } \
  INLINE T##4 make_##T##4(T##2 a, T##2 b) { return make_##T##4(a.x, a.y, b.x, b.y); } \
  INLINE T##4 make_##T##4(T##4 v) { return v; }
VECTORS(float)
VECTORS(int)
VECTORS(uint)
VECTORS(half)
VECTORS(ushort)

#define CONVERTED(T, F) \
  INLINE T##4 make_##T##4(F##4 v) { return __builtin_convertvector(v, T##4); } \
  INLINE T##2 make_##T##2(F##2 v) { return __builtin_convertvector(v, T##2); }
CONVERTED(float, int)
CONVERTED(float, uint)
CONVERTED(float, half)
CONVERTED(half, float)
CONVERTED(int, float)
CONVERTED(int, uint)
CONVERTED(uint, float)
CONVERTED(uint, int)

/* Comparisons of vectors give -1 and 0. */
typedef int2 bool2;
typedef int3 bool3;
typedef int4 bool4;
INLINE bool4 make_bool4(bool a, bool b, bool c, bool d) { return make_int4(a ? -1 : 0, b ? -1 : 0, c ? -1 : 0, d ? -1 : 0); }
INLINE bool4 make_bool4(bool a) { return make_bool4(a, a, a, a); }
INLINE bool4 make_bool4(bool4 v) { return v; }
INLINE bool all(bool2 v) { return v.x && v.y; }
INLINE bool all(bool3 v) { return v.x && v.y && v.z; }
INLINE bool all(bool4 v) { return v.x && v.y && v.z && v.w; }
INLINE bool any(bool2 v) { return v.x || v.y; }
INLINE bool any(bool3 v) { return v.x || v.y || v.z; }
INLINE bool any(bool4 v) { return v.x || v.y || v.z || v.w; }

#define SELECTED(T) \
  INLINE T##4 select(T##4 a, T##4 b, bool4 c) { return make_##T##4(c.x ? b.x : a.x, c.y ? b.y : a.y, c.z ? b.z : a.z, c.w ? b.w : a.w); }
SELECTED(float)
SELECTED(int)
SELECTED(uint)
template <class T> INLINE T select(T a, T b, bool c) { return c ? b : a; }

struct float4x4 {
  float4 columns[4];
  METHOD float4 &operator[](int i) { return columns[i]; }
  METHOD const float4 &operator[](int i) const { return columns[i]; }
};
INLINE float4x4 make_float4x4(float4 a, float4 b, float4 c, float4 d) { return {{a, b, c, d}}; }
INLINE float4x4 transpose(const float4x4 &m) {
  return {{{m[0].x, m[1].x, m[2].x, m[3].x}, {m[0].y, m[1].y, m[2].y, m[3].y},
           {m[0].z, m[1].z, m[2].z, m[3].z}, {m[0].w, m[1].w, m[2].w, m[3].w}}};
}
template <class T, size_t N> struct spvUnsafeArray {
  T elements[N];
  METHOD T &operator[](size_t i) { return elements[i]; }
  METHOD const T &operator[](size_t i) const { return elements[i]; }
};

template <class T, class F> INLINE T as_type(F from) {
  static_assert(sizeof(T) == sizeof(F));
  T to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

#define LEAST_AND_GREATEST(T) \
  INLINE T min(T a, T b) { return __builtin_elementwise_min(a, b); } \
  INLINE T max(T a, T b) { return __builtin_elementwise_max(a, b); } \
  INLINE T clamp(T x, T low, T high) { return min(max(x, low), high); }
LEAST_AND_GREATEST(float)
LEAST_AND_GREATEST(float4)
INLINE float4 clamp(float4 x, float low, float high) { return clamp(x, make_float4(low), make_float4(high)); }
LEAST_AND_GREATEST(int)
LEAST_AND_GREATEST(int4)
LEAST_AND_GREATEST(uint)
LEAST_AND_GREATEST(uint4)
namespace precise {
using ::clamp;
using ::max;
using ::min;
}

INLINE float dot(float4 a, float4 b) {
  return __builtin_fmaf(a.w, b.w, __builtin_fmaf(a.z, b.z, __builtin_fmaf(a.y, b.y, a.x * b.x)));
}
#define UNIT(name, instruction) \
  INLINE float name(float x) { float y; asm(instruction ".approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }
UNIT(exp2, "ex2")
UNIT(log2, "lg2")
UNIT(sqrt, "sqrt")
UNIT(rsqrt, "rsqrt")
INLINE float exp(float x) { return exp2(x * 1.44269504f); }
INLINE float log(float x) { return log2(x) * 0.69314718f; }
INLINE float abs(float x) { return __builtin_fabsf(x); }
INLINE int abs(int x) { return x < 0 ? -x : x; }
INLINE float ceil(float x) { return __builtin_ceilf(x); }
INLINE float rint(float x) { return __builtin_rintf(x); }
INLINE float floor(float x) { return __builtin_floorf(x); }
INLINE float trunc(float x) { return __builtin_truncf(x); }
#define EACH(name) INLINE float4 name(float4 v) { return make_float4(name(v.x), name(v.y), name(v.z), name(v.w)); }
EACH(exp)
EACH(log)
EACH(sqrt)
EACH(abs)
EACH(ceil)
EACH(rint)
EACH(floor)
EACH(trunc)

INLINE uint simd_shuffle_xor(uint x, uint mask) { return __nvvm_shfl_sync_bfly_i32(~0u, x, mask, 31); }
INLINE int simd_shuffle_xor(int x, uint mask) { return (int)simd_shuffle_xor((uint)x, mask); }
INLINE float simd_shuffle_xor(float x, uint mask) { return as_type<float>(simd_shuffle_xor(as_type<uint>(x), mask)); }
INLINE int2 simd_shuffle_xor(int2 v, uint mask) { return make_int2(simd_shuffle_xor(v.x, mask), simd_shuffle_xor(v.y, mask)); }
INLINE uint simd_sum(uint each) { return 32 * each; } /* Dawn's, to know the size of a subgroup */

enum { memory_order_relaxed };
namespace mem_flags { enum { mem_threadgroup, mem_device, mem_none }; }
INLINE void threadgroup_barrier(int) { __syncthreads(); }
typedef uint atomic_uint;
INLINE void atomic_store_explicit(uint *at, uint x, int) { *(volatile uint *)at = x; }
INLINE uint atomic_load_explicit(uint *at, int) { return *(volatile uint *)at; }
INLINE uint atomic_fetch_and_explicit(uint *at, uint x, int) { return __atomic_fetch_and(at, x, 0); }
INLINE uint atomic_fetch_or_explicit(uint *at, uint x, int) { return __atomic_fetch_or(at, x, 0); }
INLINE uint atomic_fetch_min_explicit(uint *at, uint x, int) { return __atomic_fetch_min(at, x, 0); }
