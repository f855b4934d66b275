defmodule Sidewinder.Codec.Making do
  @moduledoc """
  From the description of a message to the code that reads and writes it.

  Each message becomes a struct with four functions: `encode/1` to iodata, `decode/1`, `merge/3`, which decodes into
  what is there already (protobuf says that a message which comes twice is merged), and `several/4`, of which
  `Sidewinder.Codec.Whole` tells. The code is made when the library is
  compiled: one clause a field, with its key as a constant, so that nothing is looked up at run time.

  | in the contract | in the struct |
  |---|---|
  | a number, text, bytes, bool | its value; 0, "" or false when it is absent |
  | `optional`, a message | `nil` when it is absent |
  | `repeated` | a list |
  | `map` | a map |
  | `oneof part` | `part: {:name, value}`, or `nil` |
  | an enum | an atom; a number that this version has no word for stays a number |

  What this version does not know is kept, in `__unknown__`, and written again behind what it knows.
  """

  import Sidewinder.Codec.Reading, only: [functions: 2, packs?: 1, zero: 1]

  alias Sidewinder.Codec.{Whole, Wire}

  @doc "The body of the module of a message. `name_of` says which module a message is."
  @spec body(map, %{messages: map, enums: map}, (String.t() -> module)) :: Macro.t()
  def body(message, %{messages: messages, enums: enums}, name_of) do
    fields = Enum.map(message.fields, &resolve(&1, enums, name_of))
    members = defaults(fields, message.oneofs) ++ [__unknown__: []]
    names = Keyword.keys(members)
    {whole, several} = Whole.functions(message.name, messages, name_of)

    quote do
      @moduledoc unquote("`#{message.name}`, as the contract describes it.")
      alias Sidewinder.Codec.{Text, Wire}
      defstruct unquote(members)
      @type t :: %__MODULE__{}

      @doc "As bytes."
      @spec encode(t) :: iodata
      def encode(%__MODULE__{} = m), do: unquote(encode(fields, message.oneofs, quote(do: m.__unknown__)))

      @doc "From bytes."
      @spec decode(binary) :: {:ok, t} | {:error, String.t()}
      def decode(data) do
        {:ok, read(data, 0)}
      catch
        {:protobuf, what} -> {:error, unquote("not a #{message.name}: ") <> what}
      end

      @doc false
      def read(_data, depth) when depth > unquote(Wire.depth_max()), do: Wire.too_deep()
      unquote_splicing(whole)
      def read(data, depth), do: fields(data, depth, unquote_splicing(Enum.map(names, &Keyword.fetch!(members, &1))))

      @doc false
      unquote_splicing(several)

      @doc false
      def merge(_m, _data, depth) when depth > unquote(Wire.depth_max()), do: Wire.too_deep()

      def merge(m, data, depth),
        do: fields(data, depth, unquote_splicing(for name <- names, do: before(fields, name)))

      unquote_splicing(functions(fields, names))
    end
  end

  # A field with what its kind needs at hand: the module of a message, the words of an enum.
  defp resolve(field, enums, name_of) do
    label =
      case field.label do
        {:map, key, value} -> {:map, key, resolve_kind(value, enums, name_of)}
        label -> label
      end

    %{field | kind: resolve_kind(field.kind, enums, name_of), label: label}
  end

  defp resolve_kind({:enum, name}, enums, _name_of), do: {:enum, Map.fetch!(enums, name)}
  defp resolve_kind({:message, name}, _enums, name_of), do: {:message, name_of.(name)}
  defp resolve_kind(kind, _enums, _name_of), do: kind

  defp defaults(fields, oneofs) do
    plain = for field <- fields, not match?({:oneof, _}, field.label), do: {field.name, default(field)}
    plain ++ for oneof <- oneofs, do: {oneof, nil}
  end

  defp default(%{label: :repeated}), do: []
  defp default(%{label: {:map, _, _}}), do: Macro.escape(%{})
  defp default(%{label: :optional}), do: nil
  defp default(%{kind: kind}), do: zero(kind)

  # Lists are gathered backwards, so what was there before is turned first, and everything last.
  defp before(fields, name) do
    if Enum.any?(fields, &match?(%{label: :repeated, name: ^name}, &1)),
      do: quote(do: :lists.reverse(unquote(member(%{name: name})))),
      else: member(%{name: name})
  end

  # Writing

  # From the last field to the first, each before what is behind it, so that what is absent leaves nothing behind.
  defp encode(fields, oneofs, unknown) do
    alone = for field <- fields, not match?({:oneof, _}, field.label), do: {field.number, encode_field(field)}

    groups =
      for oneof <- oneofs do
        members = for %{label: {:oneof, ^oneof}} = field <- fields, do: field
        {hd(members).number, encode_oneof(oneof, members)}
      end

    steps =
      for {_number, code} <- Enum.sort_by(alone ++ groups, &elem(&1, 0), :desc), do: quote(do: out = unquote(code))

    {:__block__, [], [quote(do: out = unquote(unknown)) | steps] ++ [quote(do: out)]}
  end

  defp encode_field(%{label: :optional} = field), do: unless_is(nil, field, member(field))

  defp encode_field(%{label: :repeated} = field) do
    written =
      if packs?(field.kind),
        do: quote(do: [unquote(Wire.key(field.number, :bytes)) | Wire.put_bytes(unquote(put_each(field.kind)))]),
        else: quote(do: for(value <- values, do: unquote(keyed(field, quote(do: value)))))

    quote do
      case unquote(member(field)) do
        [] -> out
        values -> [unquote(written) | out]
      end
    end
  end

  defp encode_field(%{label: {:map, key, value}} = field) do
    key_field = %{number: 1, kind: key, label: :one, name: :key}
    value_field = %{number: 2, kind: value, label: :one, name: :value}

    quote do
      case unquote(member(field)) do
        empty when empty == %{} ->
          out

        map ->
          [
            for {key, value} <- Enum.sort(map) do
              out = []
              out = unquote(unless_zero(value_field, quote(do: value)))
              entry = unquote(unless_zero(key_field, quote(do: key)))
              [unquote(Wire.key(field.number, :bytes)) | Wire.put_bytes(entry)]
            end
            | out
          ]
      end
    end
  end

  defp encode_field(field), do: unless_zero(field, member(field))

  defp encode_oneof(oneof, members) do
    clauses =
      for field <- members do
        quote(do: ({unquote(field.name), value} -> [unquote(keyed(field, quote(do: value))) | out])) |> hd()
      end

    quote do
      case unquote(member(%{name: oneof})) do
        unquote(quote(do: (nil -> out)) ++ clauses)
      end
    end
  end

  # Only the value of a map has no presence of its own.
  defp unless_zero(%{kind: {:message, module}} = field, value) do
    quote do
      case IO.iodata_to_binary(unquote(module).encode(unquote(value))) do
        "" -> out
        data -> [[unquote(Wire.key(field.number, :message)) | Wire.put_bytes(data)] | out]
      end
    end
  end

  # Minus zero is equal to zero and no default.
  defp unless_zero(%{kind: kind} = field, value) when kind in [:double, :float] do
    quote do
      case IO.iodata_to_binary(Wire.put(unquote(kind), unquote(value))) do
        <<0::unquote(if kind == :double, do: 64, else: 32)>> -> out
        bits -> [unquote(Wire.key(field.number, kind)), bits | out]
      end
    end
  end

  defp unless_zero(field, value), do: unless_is(zero(field.kind), field, value)

  defp unless_is(nothing, field, value) do
    quote do
      case unquote(value) do
        unquote(nothing) -> out
        value -> [unquote(keyed(field, quote(do: value))) | out]
      end
    end
  end

  defp keyed(%{kind: {:message, module}} = field, value) do
    quote(do: [unquote(Wire.key(field.number, :message)) | Wire.put_bytes(unquote(module).encode(unquote(value)))])
  end

  defp keyed(%{kind: {:enum, _}} = field, value) do
    quote(do: [unquote(Wire.key(field.number, :int32)) | Wire.put(:int32, unquote(number_of(field)).(unquote(value)))])
  end

  defp keyed(field, value) do
    quote(do: [unquote(Wire.key(field.number, field.kind)) | Wire.put(unquote(field.kind), unquote(value))])
  end

  defp put_each({:enum, words}) do
    quote(do: for(value <- values, do: Wire.put(:int32, unquote(number_of(%{kind: {:enum, words}})).(value))))
  end

  defp put_each(kind), do: quote(do: for(value <- values, do: Wire.put(unquote(kind), value)))

  defp number_of(%{kind: {:enum, words}}) do
    known = for {word, number} <- words, do: hd(quote(do: (unquote(word) -> unquote(number))))
    {:fn, [], known ++ quote(do: (number when is_integer(number) -> number))}
  end

  defp member(%{name: name}), do: {{:., [], [quote(do: m), name]}, [no_parens: true], []}
end
