defmodule Sidewinder.Codec.Reading do
  @moduledoc """
  The half of `Sidewinder.Codec.Making` that makes what reads a message: clauses of `field(key, data, m, depth)`, each of
  which takes the value of one field off the front and goes on with `fields(rest, m, depth)`.

  Data are matched where clauses begin, so that the BEAM goes through a message without a copy of what is left of it at each
  step. That is also why a value with a short length has a clause of its own.
  """

  alias Sidewinder.Codec.Wire

  @doc "The clauses that read a field."
  @spec decode(map) :: [Macro.t()]
  def decode(%{label: :repeated} = field) do
    single = single(field, quote(do: [value | unquote(member(field))]))
    if packs?(field.kind), do: [packed(field) | single], else: single
  end

  def decode(%{label: {:oneof, oneof}} = field), do: decode_oneof(field, oneof)
  def decode(%{label: {:map, key, value}} = field), do: decode_map(field, key, value)
  def decode(field), do: single(field, quote(do: value))

  defp packed(field) do
    quote do
      defp field(unquote(key(field, :bytes)), rest, m, depth) do
        {packed, rest} = Wire.bytes(rest)
        before = unquote(member(field))
        values = unquote(known_words(field, quote(do: Wire.packed(unquote(scalar(field.kind)), packed, []))))
        fields(rest, %{m | unquote(field.name) => values ++ before}, depth)
      end
    end
  end

  defp single(field, value) do
    short(field, value) ++
      [
        quote do
          defp field(unquote(key(field, field.kind)), rest, m, depth) do
            {value, rest} = unquote(get(field.kind, before(field)))
            fields(rest, %{m | unquote(field.name) => unquote(value)}, depth)
          end
        end
      ]
  end

  # What has a length of one byte, as most of what comes often, is taken in one step.
  defp short(field, value) do
    case taken(field.kind, before(field)) do
      nil ->
        []

      taken ->
        [
          quote do
            defp field(
                   unquote(key(field, field.kind)),
                   <<0::1, size::7, inner::binary-size(size), rest::binary>>,
                   m,
                   depth
                 ) do
              value = unquote(taken)
              fields(rest, %{m | unquote(field.name) => unquote(value)}, depth)
            end
          end
        ]
    end
  end

  defp taken(:bytes, _before), do: quote(do: inner)
  defp taken(:string, _before), do: quote(do: Wire.text(inner))

  defp taken({:message, module}, before),
    do: quote(do: unquote(module).merge(unquote(before) || unquote(module).__struct__(), inner, depth + 1))

  defp taken(_kind, _before), do: nil

  defp decode_oneof(field, oneof) do
    before =
      quote do
        case unquote(member(%{name: oneof})) do
          {unquote(field.name), value} -> value
          _ -> nil
        end
      end

    [
      quote do
        defp field(unquote(key(field, field.kind)), rest, m, depth) do
          {value, rest} = unquote(get(field.kind, before))
          fields(rest, %{m | unquote(oneof) => {unquote(field.name), value}}, depth)
        end
      end
    ]
  end

  defp decode_map(field, key, value) do
    [
      quote do
        defp field(unquote(key(field, :bytes)), rest, m, depth) do
          {data, rest} = Wire.bytes(rest)
          {key, value} = unquote(entry(field))(data, unquote(zero(key)), unquote(empty(value)), depth)
          fields(rest, %{m | unquote(field.name) => Map.put(unquote(member(field)), key, value)}, depth)
        end
      end
    ]
  end

  @doc "What stands beside the clauses of a field: the reader of the entries of a map."
  @spec beside(map) :: [Macro.t()]
  def beside(%{label: {:map, key, value}} = field) do
    key_key = key(%{number: 1}, key)
    value_key = key(%{number: 2}, value)
    entry = entry(field)

    [
      quote do
        defp unquote(entry)(<<>>, key, value, _depth), do: {key, value}

        defp unquote(entry)(data, key, value, depth) do
          case Wire.varint(data) do
            {unquote(key_key), rest} ->
              {key, rest} = unquote(get(key, nil))
              unquote(entry)(rest, key, value, depth)

            {unquote(value_key), rest} ->
              {value, rest} = unquote(get(value, quote(do: value)))
              unquote(entry)(rest, key, value, depth)

            {other, rest} ->
              unquote(entry)(Wire.skip(other, rest), key, value, depth)
          end
        end
      end
    ]
  end

  def beside(_field), do: []

  defp entry(field), do: String.to_atom("#{field.name}_entry")
  defp empty({:message, module}), do: quote(do: unquote(module).__struct__())
  defp empty(kind), do: zero(kind)

  defp key(field, kind) do
    {key, ""} = Wire.varint(Wire.key(field.number, scalar(kind)))
    key
  end

  defp scalar({:enum, _}), do: :int32
  defp scalar({:message, _}), do: :message
  defp scalar(kind), do: kind

  defp before(%{label: :optional} = field), do: member(field)
  defp before(_field), do: nil

  defp get({:message, module}, before) do
    quote do
      {inner, rest} = Wire.bytes(rest)
      {unquote(module).merge(unquote(before) || unquote(module).__struct__(), inner, depth + 1), rest}
    end
  end

  defp get({:enum, words}, _before) do
    quote do
      {number, rest} = Wire.get(:int32, rest)
      {unquote(word_of(words)).(number), rest}
    end
  end

  defp get(kind, _before), do: quote(do: Wire.get(unquote(kind), rest))

  defp known_words(%{kind: {:enum, words}}, values), do: quote(do: Enum.map(unquote(values), unquote(word_of(words))))
  defp known_words(_field, values), do: values

  defp word_of(words) do
    known = for {word, number} <- words, do: hd(quote(do: (unquote(number) -> unquote(word))))
    {:fn, [], known ++ quote(do: (number -> number))}
  end

  @doc "What a field of this kind is when it is absent."
  @spec zero(term) :: term
  def zero(kind) when kind in [:string, :bytes], do: ""
  def zero(:bool), do: false
  def zero(kind) when kind in [:double, :float], do: 0.0
  def zero({:enum, words}), do: words |> List.keyfind!(0, 1) |> elem(0)
  def zero({:message, _}), do: nil
  def zero(_number), do: 0

  @doc "Whether a list of this kind is written as one run of values."
  @spec packs?(term) :: boolean
  def packs?(kind) when kind in [:string, :bytes], do: false
  def packs?({:message, _}), do: false
  def packs?(_kind), do: true

  # The message as it is so far, by the name that it has in this module's code.
  defp member(%{name: name}), do: {{:., [], [quote(do: m), name]}, [no_parens: true], []}
end
